package review

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
)

// Tables that WriteCSV knows.
var Tables = []string{"users", "problems", "names", "pop3"}

// WriteCSV writes one table. Names and texts are escaped as in a map of names, so that
// none is a formula to a spreadsheet.
func (r *Review) WriteCSV(w io.Writer, table string) error {
	out := csv.NewWriter(w)
	var err error
	switch table {
	case "users":
		err = r.csvUsers(out)
	case "problems":
		err = r.csvProblems(out)
	case "names":
		err = out.Write([]string{"host", "user", "old_name", "new_name", "why"})
		for _, n := range r.Names {
			if err == nil {
				err = out.Write([]string{plan.Escape(n.Host), plan.Escape(string(n.User)), plan.Escape(string(n.Old)), plan.Escape(n.New), plan.Escape(n.Why)})
			}
		}
	case "pop3":
		err = out.Write([]string{"host", "user", "messages", "messages_again", "bytes_again", "messages_hidden", "uidl_format"})
		for _, p := range r.POP3 {
			if err == nil {
				err = out.Write([]string{plan.Escape(p.Host), plan.Escape(string(p.User)), itoa(p.Messages), itoa(p.Again), itoa(p.AgainBytes), itoa(p.Hidden), plan.Escape(p.Format)})
			}
		}
	default:
		err = fmt.Errorf("there is no table %q", table)
	}
	if err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

func (r *Review) csvUsers(out *csv.Writer) error {
	err := out.Write([]string{"host", "user", "state", "folders", "messages", "messages_verified", "held_items", "bytes",
		"folders_renamed", "pop3_messages_again", "notes", "attentions", "failures", "differences", "finished"})
	for _, u := range r.Users {
		if err != nil {
			return err
		}
		finished := ""
		if !u.Finished.IsZero() {
			finished = u.Finished.UTC().Format(time.RFC3339)
		}
		err = out.Write([]string{plan.Escape(u.Host), plan.Escape(string(u.Name)), string(u.State), itoa(u.Folders), itoa(u.Messages), itoa(u.Verified),
			itoa(u.Held), itoa(u.Bytes), itoa(u.Renamed), itoa(u.Again), itoa(u.Notes), itoa(u.Attentions), itoa(u.Failures), itoa(u.Diffs), finished})
	}
	return err
}

func (r *Review) csvProblems(out *csv.Writer) error {
	if err := out.Write([]string{"host", "user", "folder", "file", "offset", "line", "severity", "kind", "count", "command", "text"}); err != nil {
		return err
	}
	return r.Problems(func(p Problem) error {
		offset, line := "", ""
		if p.Offset != nil {
			offset = itoa(*p.Offset)
		}
		if p.Line > 0 {
			line = itoa(p.Line)
		}
		return out.Write([]string{plan.Escape(p.Host), plan.Escape(string(p.User)), plan.Escape(string(p.Folder)), plan.Escape(string(p.File)), offset, line,
			p.Severity, p.Kind, itoa(p.Count), p.Command, plan.Escape(p.Text)})
	})
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

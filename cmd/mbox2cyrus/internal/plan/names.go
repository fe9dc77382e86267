package plan

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// ErrNames is wrapped by every error of a file of chosen names. Each names its line.
var ErrNames = errors.New("names file")

// maxNameErrors is how many errors of a file of names are told.
const maxNameErrors = 20

// Names are the folder names that an administrator chose, instead of those that
// Cyrus's rules would give.
type Names struct {
	path   string
	byUser map[string]map[string]*choice // by login and old name
	// brought are the folders that earlier runs brought, by login: a line for one is no error
	// when the folder is gone since.
	brought map[string]map[string]bool
	errs    []error
	more    int // errors beyond those
}

// choice is one line of the file.
type choice struct {
	line      int
	cyrusUser string // "": not given
	text      string
	used      bool
}

// ReadNames reads a map of names as [Plan.WriteMap] writes it, edited: its columns
// user, old_name and new_name count. All of it is read; the error tells every line
// that is wrong.
func ReadNames(path string) (*Names, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNames, err)
	}
	return parseNames(path, data)
}

// parseNames reads the text of the file at path.
func parseNames(path string, data []byte) (*Names, error) {
	n := &Names{path: path, byUser: map[string]map[string]*choice{}}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // spreadsheets put it there
	if isJSON(path) {
		n.readJSON(data)
	} else {
		n.readCSV(data)
	}
	if err := n.err(); err != nil {
		return nil, err
	}
	return n, nil
}

// Brought lets lines stand that name folders which earlier runs brought or retire moved into
// an archive, and which are no longer there: the same file is given in every run.
func (n *Names) Brought(l *ledger.Ledger, retired map[string][]Retired) error {
	n.brought = map[string]map[string]bool{}
	for login := range n.byUser {
		boxes, err := l.MailboxesOf(login)
		if err != nil {
			return err
		}
		folders := map[string]bool{}
		for _, m := range boxes {
			folders[string(m.Folder)] = true
		}
		for _, r := range retired[login] {
			folders[r.Folder] = true
		}
		n.brought[login] = folders
	}
	return nil
}

func (n *Names) wrong(line int, format string, args ...any) {
	if len(n.errs) == maxNameErrors {
		n.more++
		return
	}
	n.errs = append(n.errs, fmt.Errorf("%w %s:%d: %s", ErrNames, n.path, line, fmt.Sprintf(format, args...)))
}

func (n *Names) err() error {
	if n.more > 0 {
		return errors.Join(append(slices.Clone(n.errs), fmt.Errorf("%w %s: %d more errors", ErrNames, n.path, n.more))...)
	}
	return errors.Join(n.errs...)
}

// readCSV reads a table whose first line names its columns, in any order. Errors go to n.wrong.
func (n *Names) readCSV(data []byte) {
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma = delimiter(data)
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		n.wrong(1, "no line with the names of the columns: %v", err)
		return
	}
	at := map[string]int{}
	for i, column := range header {
		column = strings.TrimSpace(column)
		_, twice := at[column]
		switch {
		case column == "": // a spreadsheet may add empty columns
		case twice:
			n.wrong(1, "column %q is there twice", column)
		case !slices.Contains(nameColumns, column):
			n.wrong(1, "unknown column %q; known are %s", column, strings.Join(nameColumns, ", "))
		default:
			at[column] = i
		}
	}
	for _, column := range []string{"user", "old_name", "new_name"} {
		if _, ok := at[column]; !ok {
			n.wrong(1, "column %q is missing", column)
		}
	}
	if len(n.errs) > 0 {
		return
	}
	for {
		row, err := r.Read()
		if err == io.EOF {
			return
		}
		if err != nil {
			var where *csv.ParseError
			line := 0
			if errors.As(err, &where) {
				line = where.Line
			}
			n.wrong(line, "%v", err)
			return
		}
		line, _ := r.FieldPos(0)
		n.row(line, func(column string) (string, error) {
			i, ok := at[column]
			if !ok || i >= len(row) {
				return "", nil
			}
			if !utf8.ValidString(row[i]) {
				return "", fmt.Errorf("%s is not UTF-8; save the file as UTF-8", column)
			}
			return unescape(row[i])
		})
	}
}

// delimiter finds out what separates the columns: spreadsheets write a semicolon
// where the comma is for decimals.
func delimiter(data []byte) rune {
	first, _, _ := bytes.Cut(data, []byte("\n"))
	for _, c := range []byte{',', ';', '\t'} {
		if bytes.IndexByte(first, c) >= 0 {
			return rune(c)
		}
	}
	return ','
}

// readJSON reads a list of objects with the names of the columns for keys. Errors go to n.wrong.
func (n *Names) readJSON(data []byte) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	line := func() int {
		return 1 + bytes.Count(data[:dec.InputOffset()], []byte("\n"))
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		n.wrong(1, "not a list of names")
		return
	}
	for dec.More() {
		var r nameRow
		if err := dec.Decode(&r); err != nil {
			n.wrong(line(), "%v", err)
			return
		}
		n.row(line(), func(column string) (string, error) {
			switch column {
			case "user":
				return string(r.User), nil
			case "old_name":
				return string(r.Old), nil
			case "new_name":
				return r.New, nil
			}
			return r.CyrusUser, nil
		})
	}
	if _, err := dec.Token(); err != nil {
		n.wrong(line(), "%v", err)
	} else if _, err := dec.Token(); err != io.EOF {
		n.wrong(line(), "something follows the list")
	}
}

// row takes one line of the file.
func (n *Names) row(line int, cell func(column string) (string, error)) {
	var values [4]string
	for i, column := range []string{"user", "old_name", "new_name", "cyrus_user"} {
		var err error
		if values[i], err = cell(column); err != nil {
			n.wrong(line, "%v", err)
			return
		}
	}
	user, old, text := values[0], values[1], values[2]
	if user == "" && old == "" && text == "" {
		return // a line that is empty but for commas
	}
	if old == "INBOX" && text == "INBOX" {
		return // the inbox: it has no other name
	}
	folders := n.byUser[user]
	if folders == nil {
		folders = map[string]*choice{}
		n.byUser[user] = folders
	}
	if before := folders[old]; before != nil {
		n.wrong(line, "folder %s of user %s is in line %d already", report.Quote(old), report.Quote(user), before.line)
		return
	}
	folders[old] = &choice{line: line, cyrusUser: values[3], text: text}
}

// choose gives the folders of u, whose names follow from the rules, those that were
// chosen. A nil Names chooses nothing.
func (n *Names) choose(u *User, rules cyrusspool.NameRules, mailboxes []cyrusspool.Mapping) (chosen []bool) {
	chosen = make([]bool, len(mailboxes))
	if n == nil {
		return chosen
	}
	line := make([]int, len(mailboxes))
	for i, m := range mailboxes {
		c := n.byUser[u.Name][m.From]
		if c == nil {
			continue
		}
		c.used = true
		if c.cyrusUser != "" && c.cyrusUser != u.ID {
			n.wrong(c.line, "user %s is %s in Cyrus, not %s: this file names folders, not users", report.Quote(u.Name), report.Quote(u.ID), report.Quote(c.cyrusUser))
		}
		name, err := rules.FolderName(u.ID, c.text)
		switch {
		case err != nil:
			n.wrong(c.line, "folder %s of user %s: %v", report.Quote(m.From), report.Quote(u.Name), err)
		case name != m.To:
			mailboxes[i].To, mailboxes[i].Changes = name, nil
			chosen[i], line[i] = true, c.line
		}
	}
	owner := map[cyrusspool.Name]int{}
	for i, m := range mailboxes {
		other, taken := owner[m.To]
		owner[m.To] = i
		if !taken {
			continue
		}
		n.wrong(max(line[i], line[other]), "folders %s and %s of user %s would both be %s",
			report.Quote(mailboxes[other].From), report.Quote(m.From), report.Quote(u.Name), report.Quote(rules.Text(m.To)))
	}
	return chosen
}

// finish returns what is wrong with the file, as far as the users in the plan and
// those of the host tell.
func (n *Names) finish(users []*User, all []mbox.User, selected func(string) bool) error {
	if n == nil {
		return nil
	}
	failed := map[string]bool{}
	for _, u := range users {
		failed[u.Name] = u.Failed()
	}
	known := map[string]bool{}
	for _, u := range all {
		known[u.Name] = true
	}
	type unused struct {
		user, old string
		*choice
	}
	var left []unused
	for user, folders := range n.byUser {
		for old, c := range folders {
			// What a user has whose files could not be looked at is not known; that
			// he failed is told elsewhere.
			if c.used || n.brought[user][old] {
				continue
			}
			if !known[user] || selected(user) && !failed[user] {
				left = append(left, unused{user, old, c})
			}
		}
	}
	slices.SortFunc(left, func(a, b unused) int { return a.line - b.line })
	for _, l := range left {
		if !known[l.user] {
			n.wrong(l.line, "there is no user %s", report.Quote(l.user))
		} else {
			n.wrong(l.line, "user %s has no folder %s", report.Quote(l.user), report.Quote(l.old))
		}
	}
	return n.err()
}

// chosenProblem tells of a name that the administrator chose.
func chosenProblem(login string, old, text string, box cyrusspool.Name) report.Problem {
	return report.Problem{Severity: report.Note, User: login, Folder: old, Offset: -1, Kind: "name-chosen",
		Text: fmt.Sprintf("becomes %s (mailbox %s), as the names file says", report.Quote(text), box)}
}

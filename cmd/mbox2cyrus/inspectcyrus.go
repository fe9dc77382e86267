package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
)

// inspectCyrus prints Cyrus mailboxes, read-only. A name is one of Cyrus's
// ("user/joe", or the internal "user.joe"), for which Cyrus is asked where it is, or
// the absolute path of a directory that holds cyrus.header and cyrus.index.
func (p *program) inspectCyrus(c *cli.Context, names []string) (err error) {
	rep, closeLog, err := p.reporter(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	places, err := p.cyrusPlaces(c, names)
	if err != nil {
		return err
	}
	for i, name := range names {
		in := &cyrusInspection{out: p.stdout, json: c.Bool("json"), name: report.Printable(name)}
		err := in.mailbox(places[i])
		if err != nil {
			rep.Problem(report.Problem{Severity: report.Failure, Folder: name, Offset: -1, Kind: "unreadable", Text: err.Error()})
			continue
		}
		rep.Folder(report.Folder{Mailbox: name, Found: in.messages, Bytes: in.bytes, UIDValidity: in.index.UIDValidity, UIDNext: in.index.LastUID + 1})
	}
	return p.end(rep, nil)
}

// cyrusPlaces returns where the mailboxes are.
func (p *program) cyrusPlaces(c *cli.Context, names []string) ([]cyrusspool.Place, error) {
	var cyrus *target.Cyrus
	places := make([]cyrusspool.Place, len(names))
	for i, name := range names {
		if filepath.IsAbs(name) {
			dir := filepath.Clean(name)
			places[i] = cyrusspool.OneRoot(filepath.Dir(dir)).At(filepath.Base(dir))
			continue
		}
		if cyrus == nil {
			var err error
			if cyrus, err = openCyrus(c, nil); err != nil {
				return nil, err
			}
		}
		e, ok := cyrus.Entered(cyrus.Named(name))
		if !ok {
			return nil, usagef("inspect --cyrus %s: Cyrus has no such mailbox", name)
		}
		places[i] = cyrus.Place(e.Partition, cyrus.Dir(e))
	}
	return places, nil
}

// cyrusInspection prints one mailbox.
type cyrusInspection struct {
	out             io.Writer
	json            bool
	name            string
	index           cyrusspool.IndexHeader
	messages, bytes int64
}

// mailboxView is a mailbox as inspect shows it.
type mailboxView struct {
	Type      string            `json:"message_type"` // "mailbox"
	Mailbox   string            `json:"mailbox"`
	Form      string            `json:"header_form"`
	UniqueID  string            `json:"uniqueid"`
	Name      string            `json:"name"`
	MBType    string            `json:"mbtype"`
	QuotaRoot string            `json:"quotaroot"`
	ACL       []string          `json:"acl"`
	Keywords  []string          `json:"keywords"`
	Index     map[string]string `json:"index"`
}

// recordView is one record of the index as inspect shows it.
type recordView struct {
	Type     string            `json:"message_type"` // "record"
	Mailbox  string            `json:"mailbox"`
	UID      uint32            `json:"uid"`
	Flags    []string          `json:"flags"`
	Keywords []string          `json:"keywords"`
	Date     string            `json:"internaldate"`
	Size     uint64            `json:"size"`
	Fields   map[string]string `json:"fields"`
}

func (in *cyrusInspection) mailbox(place cyrusspool.Place) (err error) {
	header, err := place.ReadHeader()
	if err != nil {
		return err
	}
	f, index, err := place.OpenIndex()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	in.index = index.Header()
	if err := in.head(header); err != nil {
		return err
	}
	for {
		r, err := index.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", place.IndexFile(), err)
		}
		if err := in.record(r, header.Flags); err != nil {
			return err
		}
	}
}

func (in *cyrusInspection) head(h *cyrusspool.Header) error {
	fields, err := in.index.Fields()
	if err != nil {
		return err
	}
	v := mailboxView{Type: "mailbox", Mailbox: in.name, Form: "tab", UniqueID: report.Printable(h.UniqueID), Name: report.Printable(string(h.Name)),
		MBType: report.Printable(h.Type), QuotaRoot: report.Printable(h.QuotaRoot), ACL: []string{}, Keywords: []string{}, Index: asMap(fields)}
	if h.Form == cyrusspool.HeaderDlist {
		v.Form = "dlist"
	}
	for _, a := range h.ACL {
		v.ACL = append(v.ACL, report.Printable(a.ID+" "+a.Rights))
	}
	for _, flag := range h.Flags {
		v.Keywords = append(v.Keywords, report.Printable(flag))
	}
	if in.json {
		return json.NewEncoder(in.out).Encode(v)
	}
	_, err = fmt.Fprintf(in.out, "%s\n  cyrus.header: %s form, unique id %s, name %q, type %q, quota root %q\n    access rights %q\n    keywords %q\n  cyrus.index: %s\n",
		in.name, v.Form, v.UniqueID, v.Name, v.MBType, v.QuotaRoot, v.ACL, v.Keywords, notZero(fields))
	return err
}

// systemFlags are the names of flags in a record, Cyrus's own in small letters.
var systemFlags = []struct {
	bit  uint32
	name string
}{
	{cyrusspool.FlagSeen, `\Seen`}, {cyrusspool.FlagAnswered, `\Answered`}, {cyrusspool.FlagFlagged, `\Flagged`},
	{cyrusspool.FlagDeleted, `\Deleted`}, {cyrusspool.FlagDraft, `\Draft`},
	{cyrusspool.FlagSnoozed, "snoozed"}, {cyrusspool.FlagSplitConversation, "split-conversation"},
	{cyrusspool.FlagNeedsCleanup, "needs-cleanup"}, {cyrusspool.FlagArchived, "archived"},
	{cyrusspool.FlagUnlinked, "unlinked"}, {cyrusspool.FlagExpunged, "expunged"},
}

func (in *cyrusInspection) record(r cyrusspool.Record, keywords []string) error {
	fields, err := r.Fields(in.index.Version)
	if err != nil {
		return err
	}
	v := recordView{Type: "record", Mailbox: in.name, UID: r.UID, Flags: []string{}, Keywords: []string{},
		Date: time.Unix(r.InternalDate, 0).UTC().Format(time.RFC3339), Size: r.Size, Fields: asMap(fields)}
	for _, f := range systemFlags {
		if r.SystemFlags&f.bit != 0 {
			v.Flags = append(v.Flags, f.name)
		}
	}
	for n := range cyrusspool.MaxUserFlags {
		if r.UserFlags[n/32]&(1<<(n%32)) == 0 {
			continue
		}
		name := fmt.Sprintf("keyword %d without a name", n)
		if n < len(keywords) && keywords[n] != "" {
			name = report.Printable(keywords[n])
		}
		v.Keywords = append(v.Keywords, name)
	}
	if !r.Gone() {
		in.messages++
		in.bytes += int64(r.Size)
	}
	if in.json {
		return json.NewEncoder(in.out).Encode(v)
	}
	_, err = fmt.Fprintf(in.out, "%6d  %s  %d bytes  flags %s  keywords %q\n        %s\n",
		v.UID, v.Date, v.Size, strings.Join(v.Flags, " "), v.Keywords, notZero(fields))
	return err
}

func asMap(fields []cyrusspool.Field) map[string]string {
	m := make(map[string]string, len(fields))
	for _, f := range fields {
		m[f.Name] = f.Value
	}
	return m
}

// notZero lists the fields that are not 0.
func notZero(fields []cyrusspool.Field) string {
	var b strings.Builder
	for _, f := range fields {
		if strings.Trim(f.Value, "0 ") == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(f.Name + "=" + strings.ReplaceAll(f.Value, " ", "/"))
	}
	return b.String()
}

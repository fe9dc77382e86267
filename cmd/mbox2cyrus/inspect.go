package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // decodes subjects in any charset
	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-message/textproto"
	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/internal/plural"
	"mbox2cyrus/mbox"
)

// flagCyrus names Cyrus mailboxes.
const flagCyrus = "cyrus"

func (p *program) inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      inspectName,
		Usage:     "what one mailbox file, or Cyrus mailbox, holds: messages and doubts",
		ArgsUsage: "[FILE...]",
		Flags: append(append([]cli.Flag{timezoneFlag(), fromDatesFlag(), uwVersionFlag(), repairFlag(),
			&cli.StringSliceFlag{Name: flagCyrus, Usage: "the Cyrus mailbox `NAME`, as user/joe, or the directory that holds it (may be repeated)"}},
			installedFlags()...), outputFlags()...),
		Action: func(c *cli.Context) error {
			if names := c.StringSlice(flagCyrus); len(names) > 0 {
				if c.Args().Present() {
					return usagef("inspect takes files or --cyrus, not both: %q", c.Args().First())
				}
				return p.inspectCyrus(c, names)
			}
			if !c.Args().Present() {
				return usagef("inspect wants at least one mailbox file, or --cyrus")
			}
			return p.inspectFiles(c, c.Args().Slice())
		},
	}
}

// inspectFiles prints mailbox files. Where none can be read for want of rights, the exit code says so.
func (p *program) inspectFiles(c *cli.Context, files []string) (err error) {
	_, loc, err := parseZone(c)
	if err != nil {
		return err
	}
	rules, err := parseRules(c)
	if err != nil {
		return err
	}
	rep, closeLog, err := p.reporter(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	src := &source.Source{Location: loc, Rules: rules}
	var failed, denied int
	for _, path := range files {
		in := &inspection{out: p.stdout, json: c.Bool("json"), file: path}
		res, err := src.ReadFolder(c.Context, path, in.message)
		if err != nil {
			rep.Problem(report.Problem{Severity: report.Failure, Folder: path, Offset: -1, Kind: "unreadable", Text: err.Error()})
			failed++
			if errors.Is(err, fs.ErrPermission) {
				denied++
			}
			continue
		}
		if err := in.folder(res); err != nil {
			return err
		}
		for _, pr := range res.Problems {
			pr.Folder = path
			rep.Problem(pr)
		}
		rep.Folder(report.Folder{Folder: path, Found: res.Messages, Bytes: in.bytes, Doubts: res.Doubts,
			UIDValidity: res.UIDValidity, UIDNext: res.UIDNext})
	}
	if denied > 0 && denied == failed {
		p.code, err = rep.Finish(report.ExitPermission)
		return err
	}
	return p.end(rep, nil)
}

// inspection prints one file.
type inspection struct {
	out   io.Writer
	json  bool
	file  string
	bytes int64
}

// inspected is one message as inspect shows it.
type inspected struct {
	Type     string   `json:"message_type"`
	File     string   `json:"file"`
	Number   int      `json:"number"`
	Offset   int64    `json:"offset"`
	End      int64    `json:"end"`
	UID      uint32   `json:"uid"`
	Flags    string   `json:"flags"`
	Recent   bool     `json:"recent"`
	Keywords []string `json:"keywords"`
	Date     string   `json:"internaldate"`
	Source   string   `json:"internaldate_from"`
	Size     int64    `json:"size"`
	From     string   `json:"from"`
	Subject  string   `json:"subject"`
	Sent     string   `json:"date,omitempty"`
}

func (in *inspection) message(m *mbox.Message, keywords []string) error {
	v := inspected{Type: "message", File: report.Printable(in.file), Number: m.Number, Offset: m.Offset, UID: m.UID,
		Flags: verify.LedgerFlags(m.Flags).String(), Recent: m.Flags&mbox.Recent != 0, Keywords: []string{},
		Date: m.Date.Format(time.RFC3339), Source: fmt.Sprint(m.DateSource)}
	for n, name := range keywords {
		if m.Keywords&(1<<n) != 0 {
			v.Keywords = append(v.Keywords, report.Printable(name))
		}
	}
	v.describe(m.Header())
	size, err := m.WriteTo(io.Discard)
	if err != nil {
		return err
	}
	v.Size, v.End = size, m.EndOffset
	in.bytes += size
	if in.json {
		return json.NewEncoder(in.out).Encode(v)
	}
	recent := ""
	if v.Recent {
		recent = " recent"
	}
	_, err = fmt.Fprintf(in.out, "%6d  offset %d  uid %d  %s%s  %s  %d bytes\n        from %s  subject %s\n",
		v.Number, v.Offset, v.UID, v.Flags, recent, v.Date, v.Size, v.From, v.Subject)
	if err == nil && len(v.Keywords) > 0 {
		_, err = fmt.Fprintf(in.out, "        keywords %q\n", v.Keywords)
	}
	return err
}

// unreadable stands for a field that go-message cannot read: it is shown only
// to people, so that is no problem of the mail.
const unreadable = "(unreadable)"

// describe decodes what people know a message by.
func (v *inspected) describe(raw []byte) {
	v.From, v.Subject = unreadable, unreadable
	h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return
	}
	mh := mail.Header{Header: message.Header{Header: h}}
	if s, err := mh.Subject(); err == nil {
		v.Subject = report.Printable(s)
	}
	if s, err := mh.Text("From"); err == nil {
		v.From = report.Printable(s)
	}
	if t, err := mh.Date(); err == nil && !t.IsZero() {
		v.Sent = t.Format(time.RFC3339)
	}
}

func (in *inspection) folder(res source.Result) error {
	if in.json {
		return nil
	}
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(res.Bytes)) {
		reasons = append(reasons, fmt.Sprintf("%s %d", reason, res.Bytes[reason]))
	}
	_, err := fmt.Fprintf(in.out, "%s: %s, UIDVALIDITY %d, UIDNEXT %d, keywords %q\n        bytes of the file by reason: %s\n",
		report.Printable(in.file), plural.Count(res.Messages, "message"), res.UIDValidity, res.UIDNext, res.Keywords, strings.Join(reasons, " "))
	return err
}

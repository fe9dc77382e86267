package reconstruct

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unique"
)

// A ListForm is one of the three shapes in which ctl_mboxlist writes and reads
// mailboxes.db. One release knows one of them only.
type ListForm int

const (
	// FormUnknown is what an empty list of a release up to 3.4 gives: it
	// prints nothing at all.
	FormUnknown ListForm = iota
	// FormBare is "name TAB partition TAB acl", of 2.1 and 2.2.
	FormBare
	// FormLine is "name TAB type SP partition SP acl", of 2.3 to 3.4.
	FormLine
	// FormJSON is an object of objects, from 3.6 on.
	FormJSON
)

func (f ListForm) String() string {
	switch f {
	case FormBare:
		return "bare"
	case FormLine:
		return "line"
	case FormJSON:
		return "json"
	}
	return "unknown"
}

// An ACL is one right in an access control list (RFC 4314).
type ACL struct {
	ID     string // a user id, "anyone", "group:NAME"; with "-" in front a negative right
	Rights string // letters, such as "lrswipkxtecdan"
}

// An Entry is the record of one mailbox in mailboxes.db.
type Entry struct {
	// Name is the internal name, such as "user.joe.Sent".
	Name string
	// Partition is the name of the partition in imapd.conf, such as "default".
	Partition string
	// Server is the backend that holds the mailbox in a Cyrus Murder, "" for
	// this host.
	Server string
	// Type is the mailbox's type as this release spells it: letters in
	// FormJSON ("e" mail in the UUID layout, "el" mail in the layout by name),
	// a decimal number in FormLine ("0" mail), "" in FormBare.
	Type string
	// UniqueID names the mailbox in the header and in the UUID layout.
	// FormJSON only, as are the three numbers below.
	UniqueID                    string
	UIDValidity                 uint32
	CreatedModSeq, FolderModSeq uint64
	// JMAPID is written by the releases after 3.12 and wanted by their Enter.
	JMAPID string
	// ACL keeps the order in which it was listed.
	ACL []ACL
}

// Deleted reports whether the mailbox is no more, and the entry only there for other
// servers to hear of it: Cyrus makes such a mailbox again as if nothing were there
// (Cyrus imap/mboxlist.h, MBTYPE_DELETED; from 3.0 on).
func (e Entry) Deleted() bool {
	if n, err := strconv.ParseUint(e.Type, 10, 32); err == nil { // FormLine
		return n&(1<<4) != 0
	}
	return strings.Contains(e.Type, "d")
}

// List returns all entries of mailboxes.db in the order of the database, with
// the form in which this release lists them (ctl_mboxlist -d). A line that
// cannot be read is an error: nothing is left out.
func (p *Programs) List(ctx context.Context) ([]Entry, ListForm, error) {
	pr, pw := io.Pipe()
	var (
		entries  []Entry
		form     ListForm
		parseErr error
		done     = make(chan struct{})
	)
	go func() {
		defer close(done)
		entries, form, parseErr = ParseList(pr)
		pr.CloseWithError(parseErr)
	}()
	said, err := p.run(ctx, call{program: "ctl_mboxlist", args: []string{"-d"}, stdout: pw})
	pw.Close()
	<-done
	switch {
	case err != nil:
		return nil, FormUnknown, err
	case parseErr != nil:
		return nil, FormUnknown, parseErr
	case strings.TrimSpace(said) != "":
		return nil, FormUnknown, fmt.Errorf("ctl_mboxlist -d: %q", strings.TrimSpace(said))
	}
	return entries, form, nil
}

// ParseList reads what ctl_mboxlist -d printed, in any of the three forms.
func ParseList(r io.Reader) ([]Entry, ListForm, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	first, err := br.Peek(1)
	if errors.Is(err, io.EOF) {
		return nil, FormUnknown, nil
	}
	if err != nil {
		return nil, FormUnknown, fmt.Errorf("ctl_mboxlist -d: %w", err)
	}
	if first[0] == '{' {
		entries, err := parseJSON(br)
		return entries, FormJSON, err
	}
	return parseLines(br)
}

// jsonEntry is an entry as Cyrus 3.6 and later write it. All numbers are
// strings (Cyrus imap/ctl_mboxlist.c, dump_cb).
type jsonEntry struct {
	UIDValidity   string  `json:"uidvalidity"`
	CreatedModSeq string  `json:"createdmodseq"`
	FolderModSeq  string  `json:"foldermodseq"`
	Type          string  `json:"mbtype"`
	Partition     string  `json:"partition"`
	Server        string  `json:"server,omitempty"`
	ACL           jsonACL `json:"acl"`
	UniqueID      string  `json:"uniqueid"`
	JMAPID        string  `json:"jmapId,omitempty"`
}

// parseJSON reads the object entry by entry, so that its text is never held.
func parseJSON(r io.Reader) ([]Entry, error) {
	dec := json.NewDecoder(r)
	if _, err := dec.Token(); err != nil { // the opening brace
		return nil, fmt.Errorf("ctl_mboxlist -d: %w", err)
	}
	var entries []Entry
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("ctl_mboxlist -d: %w", err)
		}
		name, ok := tok.(string)
		if !ok || name == "" {
			return nil, fmt.Errorf("ctl_mboxlist -d: %v where a mailbox name belongs", tok)
		}
		// encoding/json puts U+FFFD for what is not UTF-8. Such a name would be
		// another mailbox's.
		if strings.ContainsRune(name, utf8.RuneError) {
			return nil, fmt.Errorf("ctl_mboxlist -d: name %q is not UTF-8", name)
		}
		var je jsonEntry
		if err := dec.Decode(&je); err != nil {
			return nil, fmt.Errorf("ctl_mboxlist -d: entry %q: %w", name, err)
		}
		e, err := je.entry(name)
		if err != nil {
			return nil, fmt.Errorf("ctl_mboxlist -d: entry %q: %w", name, err)
		}
		// Mostly they are those of the user's mailbox before: one list in memory for all.
		if last := len(entries) - 1; last >= 0 && slices.Equal(entries[last].ACL, e.ACL) {
			e.ACL = entries[last].ACL
		}
		entries = append(entries, e)
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, fmt.Errorf("ctl_mboxlist -d: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("ctl_mboxlist -d: something follows the closing brace")
	}
	return entries, nil
}

func (je *jsonEntry) entry(name string) (Entry, error) {
	// Of a hundred thousand mailboxes these are mostly the same few.
	e := Entry{
		Name:      name,
		Partition: unique.Make(je.Partition).Value(),
		Server:    unique.Make(je.Server).Value(),
		Type:      unique.Make(je.Type).Value(),
		UniqueID:  je.UniqueID,
		JMAPID:    je.JMAPID,
		ACL:       je.ACL,
	}
	// A number that is absent stands for 0: deleted and intermediate entries
	// lack some of them.
	number := func(key, s string, bits int) (n uint64, err error) {
		if s == "" {
			return 0, nil
		}
		if n, err = strconv.ParseUint(s, 10, bits); err != nil {
			return 0, fmt.Errorf("%s: %w", key, err)
		}
		return n, nil
	}
	v, err := number("uidvalidity", je.UIDValidity, 32)
	if err != nil {
		return Entry{}, err
	}
	e.UIDValidity = uint32(v)
	if e.CreatedModSeq, err = number("createdmodseq", je.CreatedModSeq, 64); err != nil {
		return Entry{}, err
	}
	if e.FolderModSeq, err = number("foldermodseq", je.FolderModSeq, 64); err != nil {
		return Entry{}, err
	}
	return e, nil
}

// jsonACL is an access control list as a JSON object whose order is kept.
type jsonACL []ACL

func (a *jsonACL) UnmarshalJSON(b []byte) error {
	*a = nil
	dec := json.NewDecoder(strings.NewReader(string(b)))
	tok, err := dec.Token()
	if err != nil || tok == nil { // null
		return err
	}
	if tok != json.Delim('{') {
		return fmt.Errorf("acl: %v is not an object", tok)
	}
	for dec.More() {
		id, err := dec.Token()
		if err != nil {
			return err
		}
		var rights string
		if err := dec.Decode(&rights); err != nil {
			return fmt.Errorf("acl of %v: %w", id, err)
		}
		*a = append(*a, ACL{ID: id.(string), Rights: unique.Make(rights).Value()})
	}
	*a = slices.Clip(*a)
	return nil
}

func (a jsonACL) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, acl := range a {
		if i > 0 {
			b.WriteString(", ")
		}
		id, err := json.Marshal(acl.ID)
		if err != nil {
			return nil, err
		}
		rights, err := json.Marshal(acl.Rights)
		if err != nil {
			return nil, err
		}
		b.Write(id)
		b.WriteString(": ")
		b.Write(rights)
	}
	b.WriteByte('}')
	return []byte(b.String()), nil
}

// maxEntryLine is the longest line that ctl_mboxlist reads (16384 bytes, Cyrus
// imap/ctl_mboxlist.c, do_undump). It may print a longer one.
const maxEntryLine = 1 << 20

func parseLines(r io.Reader) ([]Entry, ListForm, error) {
	var (
		entries []Entry
		form    ListForm
	)
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxEntryLine)
	for n := 1; s.Scan(); n++ {
		e, f, err := parseLine(s.Text())
		switch {
		case err != nil:
			return nil, FormUnknown, fmt.Errorf("ctl_mboxlist -d: line %d: %w", n, err)
		case form != FormUnknown && form != f:
			return nil, FormUnknown, fmt.Errorf("ctl_mboxlist -d: line %d: form %s after form %s", n, f, form)
		}
		form = f
		entries = append(entries, e)
	}
	if err := s.Err(); err != nil {
		return nil, FormUnknown, fmt.Errorf("ctl_mboxlist -d: %w", err)
	}
	return entries, form, nil
}

// parseLine reads one line of FormBare or FormLine.
func parseLine(line string) (Entry, ListForm, error) {
	name, rest, ok := strings.Cut(line, "\t")
	if !ok || name == "" {
		return Entry{}, FormUnknown, fmt.Errorf("%q is no entry", clip(line))
	}
	e := Entry{Name: name}
	form, sep := FormBare, "\t"
	// A number in front of the partition is what Cyrus itself goes by when it
	// reads such a line.
	if rest != "" && '0' <= rest[0] && rest[0] <= '9' {
		form, sep = FormLine, " "
		if e.Type, rest, ok = strings.Cut(rest, " "); !ok {
			return Entry{}, FormUnknown, fmt.Errorf("%q has no partition", clip(line))
		}
		if _, err := strconv.ParseUint(e.Type, 10, 32); err != nil {
			return Entry{}, FormUnknown, fmt.Errorf("type of %q: %w", name, err)
		}
	}
	location, acl, ok := strings.Cut(rest, sep)
	if !ok {
		return Entry{}, FormUnknown, fmt.Errorf("%q has no access control list", clip(line))
	}
	e.Partition = location
	if server, partition, ok := strings.Cut(location, "!"); ok {
		e.Server, e.Partition = server, partition
	}
	if e.Partition == "" && form == FormBare {
		return Entry{}, FormUnknown, fmt.Errorf("%q has no partition", clip(line))
	}
	fields := strings.Split(strings.TrimSuffix(acl, "\t"), "\t")
	if len(fields) == 1 && fields[0] == "" {
		return e, form, nil
	}
	if len(fields)%2 != 0 {
		return Entry{}, FormUnknown, fmt.Errorf("access control list of %q: a user without rights", name)
	}
	for i := 0; i < len(fields); i += 2 {
		e.ACL = append(e.ACL, ACL{ID: fields[i], Rights: fields[i+1]})
	}
	return e, form, nil
}

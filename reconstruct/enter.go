package reconstruct

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Enter puts entries into mailboxes.db (ctl_mboxlist -u). Entries of other
// names stay; one of the same name is replaced. The form must be the one that
// [Programs.List] returned: in another form nothing is entered or, worse,
// something broken.
//
// All entries are checked before the first is given to Cyrus. Any word that
// Cyrus says is an error. That it says nothing proves nothing: list again to
// see what was entered.
func (p *Programs) Enter(ctx context.Context, form ListForm, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	for i := range entries {
		if err := entries[i].check(form); err != nil {
			return fmt.Errorf("entry %q: %w", entries[i].Name, err)
		}
	}
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(WriteList(pw, form, entries)) }()
	said, err := p.run(ctx, call{program: "ctl_mboxlist", args: []string{"-u"}, stdin: pr})
	pr.Close()
	if err != nil {
		return err
	}
	if said = withoutUpkeep(said); said != "" {
		return fmt.Errorf("ctl_mboxlist -u: %q", said)
	}
	return nil
}

// WriteList writes entries as ctl_mboxlist -u of the form's releases reads
// them.
func WriteList(w io.Writer, form ListForm, entries []Entry) error {
	for i := range entries {
		if err := entries[i].check(form); err != nil {
			return fmt.Errorf("entry %q: %w", entries[i].Name, err)
		}
		line, err := entries[i].format(form)
		if err != nil {
			return fmt.Errorf("entry %q: %w", entries[i].Name, err)
		}
		if form == FormJSON {
			sep := ",\n"
			if i == 0 {
				sep = "{\n"
			}
			line = sep + line
		} else {
			line += "\n"
		}
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
	}
	if form == FormJSON {
		tail := "\n}\n"
		if len(entries) == 0 {
			tail = "{}\n"
		}
		if _, err := io.WriteString(w, tail); err != nil {
			return err
		}
	}
	return nil
}

// check refuses what Cyrus would misread or enter in a broken state. Cyrus
// tells fields apart by tabs and spaces and takes what it gets.
func (e *Entry) check(form ListForm) error {
	if err := checkName(e.Name); err != nil {
		return err
	}
	if len(e.Name) > maxEntered {
		return fmt.Errorf("%w: %d bytes, %d can be entered", errName, len(e.Name), maxEntered)
	}
	if !word(e.Partition) {
		return fmt.Errorf("partition %q is not a word", e.Partition)
	}
	if e.Server != "" && !word(e.Server) {
		return fmt.Errorf("server %q is not a word", e.Server)
	}
	for _, acl := range e.ACL {
		// An identifier may have spaces ("group:night shift"), as the fields
		// of an access control list are apart by tabs.
		if !word(strings.ReplaceAll(acl.ID, " ", "_")) || !word(acl.Rights) {
			return fmt.Errorf("access control %q %q cannot be written", acl.ID, acl.Rights)
		}
	}
	switch form {
	case FormBare:
		return nil
	case FormLine:
		if e.Type == "" {
			return nil
		}
		if _, err := strconv.ParseUint(e.Type, 10, 32); err != nil {
			return fmt.Errorf("type: %w", err)
		}
		return nil
	case FormJSON:
		// Without uniqueid reconstruct of 3.6 and 3.8 dies on the entry
		// (SIGSEGV); without mbtype the mailbox is of another kind.
		if !word(e.UniqueID) || !word(e.Type) {
			return fmt.Errorf("uniqueid %q and type %q are needed", e.UniqueID, e.Type)
		}
		if !utf8.ValidString(e.Name) {
			return errors.New("not UTF-8, which JSON cannot carry")
		}
		return nil
	}
	return fmt.Errorf("form %s: %w", form, errForm)
}

// errForm is the cause when no form was given.
var errForm = errors.New("the form that this release of cyrus reads is not known")

// word reports whether s is one non-empty word of printable UTF-8 without
// space.
func word(s string) bool {
	if s == "" || !utf8.ValidString(s) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func (e *Entry) format(form ListForm) (string, error) {
	if form == FormJSON {
		return e.formatJSON()
	}
	var b strings.Builder
	b.WriteString(e.Name)
	b.WriteByte('\t')
	sep := byte('\t')
	if form == FormLine {
		sep = ' '
		if e.Type == "" {
			b.WriteByte('0')
		}
		b.WriteString(e.Type)
		b.WriteByte(sep)
	}
	if e.Server != "" {
		b.WriteString(e.Server + "!")
	}
	b.WriteString(e.Partition)
	b.WriteByte(sep)
	for _, acl := range e.ACL {
		b.WriteString(acl.ID + "\t" + acl.Rights + "\t")
	}
	return b.String(), nil
}

func (e *Entry) formatJSON() (string, error) {
	name, err := json.Marshal(e.Name)
	if err != nil {
		return "", err
	}
	value, err := json.Marshal(jsonEntry{
		UIDValidity:   strconv.FormatUint(uint64(e.UIDValidity), 10),
		CreatedModSeq: strconv.FormatUint(e.CreatedModSeq, 10),
		FolderModSeq:  strconv.FormatUint(e.FolderModSeq, 10),
		Type:          e.Type,
		Partition:     e.Partition,
		Server:        e.Server,
		ACL:           e.ACL,
		UniqueID:      e.UniqueID,
		JMAPID:        e.JMAPID,
	})
	if err != nil {
		return "", err
	}
	return string(name) + ": " + string(value), nil
}

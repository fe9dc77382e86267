package reconstruct

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Database is where and how Cyrus keeps mailboxes.db.
type Database struct {
	Path   string // absolute
	Type   string // backend, such as "twoskip" (mboxlist_db)
	Sorted bool   // improved_mboxlist_sort: keys are in another order
}

// A Record is one record of mailboxes.db as it is, bytes for bytes.
type Record struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Records returns the records of a mailbox, for [Programs.PutBack]. In [FormJSON]
// an entry has two, "N" and its name, and "I" and its unique id (Cyrus
// imap/mboxlist.c, mboxlist_dbname_to_key and mboxlist_id_to_key); before, one, its
// name.
func (p *Programs) Records(ctx context.Context, db Database, form ListForm, e Entry) ([]Record, error) {
	keys, err := e.keys(form)
	if err != nil {
		return nil, fmt.Errorf("records of %q: %w", e.Name, err)
	}
	var records []Record
	for _, key := range keys {
		out := &limited{most: maxRecord}
		if err := p.dbtool(ctx, db, "get", key+"\n", out); err != nil {
			return nil, fmt.Errorf("records of %q: %w", e.Name, err)
		}
		value, ok := strings.CutSuffix(out.String(), "\n")
		if !ok || value == "" || strings.Contains(value, "\n") {
			return nil, fmt.Errorf("records of %q: cyr_dbtool get %q: %q is no record", e.Name, key, clip(out.String()))
		}
		records = append(records, Record{key, value})
	}
	return records, nil
}

// maxRecord bounds one record: names, an access control list and former names.
const maxRecord = 1 << 20

// FitRelease reports whether records of a mailbox have the keys that a release which lists in that
// form gives them. Those that an older release wrote do not fit Cyrus 3.6 and later.
func FitRelease(records []Record, form ListForm, e Entry) bool {
	keys, err := e.keys(form)
	return err == nil && len(keys) == len(records) &&
		!slices.ContainsFunc(records, func(r Record) bool { return !slices.Contains(keys, r.Key) })
}

// PutBack sets records of mailboxes.db to values that they had, all in one
// transaction. Cyrus must not run.
func (p *Programs) PutBack(ctx context.Context, db Database, records []Record) error {
	if len(records) == 0 {
		return nil
	}
	var lines strings.Builder
	for _, r := range records {
		if r.Key == "" || r.Value == "" || strings.ContainsAny(r.Key, "\t\r\n\x00") || strings.ContainsAny(r.Value, "\r\n\x00") {
			return fmt.Errorf("record %q cannot be put back", r.Key)
		}
		lines.WriteString(r.Key + "\t" + r.Value + "\n")
	}
	return p.dbtool(ctx, db, "set", lines.String(), nil)
}

// Remove takes the entries of mailboxes out of mailboxes.db, all in one
// transaction, and leaves their files alone. Cyrus must not run. The entries must be
// as [Programs.List] returned them now: of one with another unique id the record by
// name is that of another mailbox. An entry that is gone already is no error, so that
// a removal that was cut off can be repeated.
//
// That nothing was said proves nothing: Remove lists again, and an entry that is
// still there is an error.
func (p *Programs) Remove(ctx context.Context, db Database, form ListForm, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	var keys strings.Builder
	gone := map[string]bool{}
	for i := range entries {
		all, err := entries[i].keys(form)
		if err != nil {
			return fmt.Errorf("remove %q: %w", entries[i].Name, err)
		}
		if form == FormLine && word(entries[i].UniqueID) {
			// 3.4 has one by unique id too (imap/mboxlist.c, mboxlist_runiqueid_key).
			all = append(all, "$RUNQ$"+entries[i].UniqueID+"$"+entries[i].Name)
		}
		for _, key := range all {
			keys.WriteString(key + "\n")
		}
		gone[entries[i].Name] = true
	}
	if err := p.dbtool(ctx, db, "delete", keys.String(), nil); err != nil {
		return err
	}
	list, _, err := p.List(ctx)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(list, func(e Entry) bool { return gone[e.Name] }); i >= 0 {
		return fmt.Errorf("cyr_dbtool delete: it said nothing, but %q is still in mailboxes.db", list[i].Name)
	}
	return nil
}

// dbtool runs cyr_dbtool with keys, or keys and values, a line each. The tool wants
// its operands behind its options, without "--" in some releases; none of these
// begins with "-".
func (p *Programs) dbtool(ctx context.Context, db Database, action, lines string, out io.Writer) error {
	// One transaction. Up to 2.4 there is no such option: it warns of it, and has
	// made it one all along.
	args := []string{"-T"}
	if db.Sorted {
		args = append(args, "-M")
	}
	args = append(args, db.Path, db.Type, action)
	said, err := p.run(ctx, call{program: "cyr_dbtool", args: args, stdin: strings.NewReader(lines), stdout: out})
	if err != nil {
		return err
	}
	var words []string
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasSuffix(line, "invalid option -- 'T'") {
			words = append(words, line)
		}
	}
	if len(words) > 0 {
		return fmt.Errorf("cyr_dbtool %s: %q", action, strings.Join(words, "\n"))
	}
	return nil
}

// Damaged reports whether Cyrus finds the database damaged (cyr_dbtool consistent). Of a
// damaged one [Programs.List] may return a part and no error: ctl_mboxlist ends its list
// where it cannot read on, and says nothing (imap/ctl_mboxlist.c, do_dump). A release that
// cannot be asked gives false.
func (p *Programs) Damaged(ctx context.Context, db Database) (bool, error) {
	if !p.Has("cyr_dbtool") {
		return false, nil
	}
	damaged := false
	out := &lines{each: func(line string) { damaged = damaged || line == "No, not consistent" }}
	_, err := p.run(ctx, call{program: "cyr_dbtool", args: []string{db.Path, db.Type, "consistent"}, stdout: out})
	out.close()
	var exit *ExitError
	if errors.As(err, &exit) && exit.Signal == 0 && exit.Code != exitSoftware {
		err = nil // it does not know the question, or List has the error too
	}
	return damaged, err
}

// OfOlderRelease returns a record of mailboxes.db as releases before 3.6 wrote it, with the name
// alone for its key, if there is one. A release that lists in [FormJSON] leaves such records out
// until its server is started for the first time (ctl_cyrusdb -r; imap/mboxlist.c,
// mboxlist_upgrade), and does not bring them over any more once there is one in its own form.
func (p *Programs) OfOlderRelease(ctx context.Context, db Database) (name string, err error) {
	out := &lines{each: func(line string) {
		// Its own have a letter in front, what it derives from them a "$".
		if key, _, ok := strings.Cut(line, "\t"); name == "" && ok && key != "" && !strings.ContainsRune("NIJ$", rune(key[0])) {
			name = key
		}
	}}
	_, err = p.run(ctx, call{program: "cyr_dbtool", args: []string{db.Path, db.Type, "show"}, stdout: out})
	out.close()
	return name, err
}

// exitSoftware is how Cyrus's programs end when they find that they went wrong (sysexits.h,
// EX_SOFTWARE): here at what they cannot read.
const exitSoftware = 70

// keys returns the keys of an entry's records.
func (e *Entry) keys(form ListForm) ([]string, error) {
	if err := checkName(e.Name); err != nil {
		return nil, err
	}
	switch form {
	case FormBare, FormLine:
		return []string{e.Name}, nil
	case FormJSON:
		if !word(e.UniqueID) {
			return nil, errors.New("no unique id")
		}
		return []string{"N" + dbName(e.Name), "I" + e.UniqueID}, nil
	}
	return nil, errForm
}

// dbName spells an internal name as the keys of Cyrus 3.6 and later do: with
// real dots, 1F between components and 1D behind a domain (Cyrus
// imap/mboxname.c, mbname_dbname).
func dbName(internal string) string {
	domain, rest, found := strings.Cut(internal, "!")
	if !found {
		domain, rest = "", internal
	} else {
		domain += "\x1d"
	}
	return domain + strings.NewReplacer(".", "\x1f", "^", ".").Replace(rest)
}

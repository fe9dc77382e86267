package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/mbox"
)

// mail is all mail of a host, or what became of it, by user/folder.
type mail map[string]mailbox

type mailbox struct {
	uidValidity uint32
	subscribed  bool
	letters     []letter // in the mailbox's order
}

// A letter is what is compared of one message.
type letter struct {
	uid         uint32
	flags       string // the system flags, sorted
	keywords    string // likewise, in lower case
	date        int64  // the internal date, in Unix seconds
	whole, text [sha256.Size]byte
}

// setFlags sorts IMAP flags into system flags and keywords.
func (l *letter) setFlags(flags []string) {
	var system, keywords []string
	for _, f := range flags {
		if strings.HasPrefix(f, `\`) {
			system = append(system, f)
		} else {
			keywords = append(keywords, strings.ToLower(f))
		}
	}
	slices.Sort(system)
	slices.Sort(keywords)
	l.flags, l.keywords = strings.Join(system, " "), strings.Join(keywords, " ")
}

// systemFlags are UW's flags with the names that IMAP has for them.
var systemFlags = []struct {
	flag mbox.Flags
	name string
}{
	{mbox.Seen, `\Seen`}, {mbox.Answered, `\Answered`}, {mbox.Flagged, `\Flagged`}, {mbox.Deleted, `\Deleted`}, {mbox.Draft, `\Draft`},
}

// flagsOf returns the IMAP flags and keywords of a message.
func flagsOf(m *mbox.Message, keywords []string) (flags []string) {
	for _, f := range systemFlags {
		if m.Flags&f.flag != 0 {
			flags = append(flags, f.name)
		}
	}
	for i, k := range keywords {
		if m.Keywords&(1<<i) != 0 {
			flags = append(flags, k)
		}
	}
	return flags
}

// eachMessage reads a folder.
func eachMessage(path string, do func(m *mbox.Message, keywords []string) error) (uidValidity uint32, err error) {
	f, err := mbox.OpenFolder(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	box, err := f.Mailbox(mbox.Options{Location: time.UTC})
	if err != nil {
		return 0, err
	}
	for {
		m, err := box.Next()
		if err == io.EOF {
			return box.UIDValidity(), nil
		}
		if err == nil {
			err = do(m, box.Keywords())
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
	}
}

// readFolder reads a folder of a format of UW's into a mailbox.
func readFolder(path string) (b mailbox, err error) {
	b.uidValidity, err = eachMessage(path, func(m *mbox.Message, keywords []string) error {
		l := letter{uid: m.UID, date: m.Date.Unix()}
		l.setFlags(flagsOf(m, keywords))
		var d cyrustest.Digest
		if _, err := m.WriteTo(&d); err != nil {
			return err
		}
		l.whole, l.text = d.Sums()
		b.letters = append(b.letters, l)
		return nil
	})
	return b, err
}

// mail reads what UW IMAP serves.
func (h *host) mail() (mail, error) {
	all := mail{}
	for _, u := range h.users {
		for _, f := range u.Folders {
			b, err := readFolder(filepath.Join(h.root, f.Path))
			if err != nil {
				return nil, err
			}
			b.subscribed = slices.Contains(u.Subscribed, f.Name)
			all[u.Name+"/"+f.Name] = b
		}
	}
	return all, nil
}

// served reads what a running Cyrus serves, over IMAP.
func (h *host) served(srv *cyrustest.Server) (mail, error) {
	all := mail{}
	for _, u := range h.users {
		views, err := cyrustest.ReadAll(srv.IMAPAddr(), u.Name, password)
		if err != nil {
			return nil, err
		}
		for _, v := range views {
			b := mailbox{uidValidity: v.UIDValidity, subscribed: v.Subscribed}
			for _, m := range v.Messages {
				l := letter{uid: m.UID, date: m.InternalDate.Unix(), whole: m.SHA256, text: m.Text}
				l.setFlags(m.Flags)
				b.letters = append(b.letters, l)
			}
			all[u.Name+"/"+v.Name] = b
		}
	}
	return all, nil
}

// lost tells in a few words what of the wanted mail is not in what there is.
func lost(want, got mail) string {
	gone, added := 0, 0
	counts, all := map[string]int{}, map[string]int{} // what was lost, of how many
	check := func(what string, same bool) {
		all[what]++
		if !same {
			counts[what]++
		}
	}
	for name, w := range want {
		g := got[name]
		if w.uidValidity != 0 {
			check("UIDVALIDITY", g.uidValidity == w.uidValidity)
		}
		if w.subscribed {
			check("subscriptions", g.subscribed)
		}
		partners := pair(w.letters, g.letters)
		found := 0
		for i, at := range partners {
			if at < 0 {
				gone++
				continue
			}
			found++
			l, m := w.letters[i], g.letters[at]
			check("UIDs", l.uid == m.uid)
			check("dates", l.date == m.date)
			if l.flags+m.flags != "" {
				check("flags", l.flags == m.flags)
			}
			if l.keywords+m.keywords != "" {
				check("keywords", l.keywords == m.keywords)
			}
			check("bytes", l.whole == m.whole)
		}
		added += len(g.letters) - found
	}
	var words []string
	if gone > 0 {
		words = append(words, fmt.Sprintf("%d messages", gone))
	}
	for _, what := range []string{"UIDVALIDITY", "subscriptions", "UIDs", "dates", "flags", "keywords", "bytes"} {
		switch n := counts[what]; n {
		case 0:
		case all[what]:
			words = append(words, what)
		default:
			words = append(words, fmt.Sprintf("%s (%d of %d)", what, n, all[what]))
		}
	}
	if added > 0 {
		words = append(words, fmt.Sprintf("not lost but added: %d messages that are none", added))
	}
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, ", ")
}

// pair finds for each wanted message the one that became of it: the one in the same place if
// its text is the same, else the first with that text, else, where the number is the same,
// the one in the same place. It is -1 where there is none.
func pair(want, got []letter) []int {
	partners := make([]int, len(want))
	taken := make([]bool, len(got))
	byText := map[[sha256.Size]byte][]int{}
	for i, g := range got {
		byText[g.text] = append(byText[g.text], i)
	}
	inPlace := func(i int) bool { return len(want) == len(got) && !taken[i] }
	for i, w := range want {
		partners[i] = -1
		if inPlace(i) && got[i].text == w.text {
			partners[i], taken[i] = i, true
		}
	}
	for i, w := range want {
		if partners[i] >= 0 {
			continue
		}
		at := slices.IndexFunc(byText[w.text], func(j int) bool { return !taken[j] })
		switch {
		case at >= 0:
			partners[i] = byText[w.text][at]
		case inPlace(i):
			partners[i] = i
		default:
			continue
		}
		taken[partners[i]] = true
	}
	return partners
}

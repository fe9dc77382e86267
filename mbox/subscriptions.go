package mbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The file of a user's subscribed names and what an interrupted unsubscribe leaves
// (UW smanager.c). UW keeps them in its home directory; hosts whose imapd was built
// with the home edited to ~/mail (docs/CONFIG of imap-4.7) have them there.
const (
	mailboxList     = ".mailboxlist"
	mailboxListTemp = ".mlbxlsttmp"
)

const (
	maxSubscriptionBytes = 1 << 20
	maxSubscriptionLines = 100_000
	// maxSubscriptionName is the longest line that UW reads as one name (smanager.c).
	maxSubscriptionName = 1023
)

// Subscription is one name that the user subscribed to.
type Subscription struct {
	Name  string // raw, below the mail directory; "INBOX" for the inbox
	Inbox bool   // the user's INBOX, not a folder that happens to be called so
}

func isSubscriptionFile(name string) bool {
	return name == mailboxList || name == mailboxListTemp
}

// subscriptionFile is one candidate for the list of subscriptions.
type subscriptionFile struct {
	dir     *os.File
	name    string
	path    string
	inMail  bool // in the mail directory, where UW lists it as a mailbox
	modTime time.Time
}

// subscriptions reads the user's subscriptions: from the newer .mailboxlist of the home
// and the mail directory, else from the newer .mlbxlsttmp. mailDir may be nil, or the home
// itself at mailPath.
func (w *walker) subscriptions(home *os.File, homePath string, mailDir *os.File, mailPath string, prefixes []prefix) {
	inMail := mailDir
	if mailPath == homePath {
		inMail = nil // one directory, one file
	}
	var chosen *subscriptionFile
	for _, name := range []string{mailboxList, mailboxListTemp} {
		candidates := w.candidates([]subscriptionFile{
			{dir: home, name: name, path: join(homePath, name)},
			{dir: inMail, name: name, path: join(mailPath, name), inMail: true},
		})
		for i := range candidates {
			c := &candidates[i]
			if chosen == nil || (c.name == chosen.name && c.modTime.After(chosen.modTime)) {
				chosen, c = c, chosen
			}
			if c != nil {
				w.skip(c.path, &Skipped{Kind: SkipSubscriptionFile, Text: fmt.Sprintf("list of subscriptions, not used: %q is the newer or complete one", chosen.path)})
			}
		}
	}
	if chosen == nil {
		return
	}
	if chosen.inMail || chosen.name == mailboxListTemp {
		w.skip(chosen.path, &Skipped{Kind: SkipSubscriptionFile, Text: "list of subscriptions, read as such"})
	}
	data, err := w.readSubscriptions(chosen)
	if err != nil {
		w.unreadable(chosen.path, err)
		return
	}
	w.tree.SubscriptionList = chosen.path
	if len(data) > maxSubscriptionBytes {
		data = data[:maxSubscriptionBytes]
		data = data[:strings.LastIndexByte(data, '\n')+1]
		w.skip(chosen.path, &Skipped{Kind: SkipLimit, Text: fmt.Sprintf("subscriptions beyond %d bytes are not read", maxSubscriptionBytes)})
	}

	folders := make(map[string]bool, len(w.tree.Folders))
	for _, f := range w.tree.Folders {
		folders[f.Name] = true
	}
	where := func(name string) place {
		if folders[name] {
			return placeFolder // a directory can be one
		}
		if mailDir != nil {
			switch found, isDir := find(mailDir, name, w.user.UID); {
			case isDir:
				return placeDirectory
			case found:
				return placeFolder
			}
		}
		if found, _ := find(home, join(w.boxDir, name), w.user.UID); found {
			return placeOutside
		}
		return placeNowhere
	}
	prefixes = append(prefixes, outsideOf(w.user)...)
	names, dropped := cleanSubscriptions(data, prefixes, where, func(name string) {
		rel, fromHome := strings.CutPrefix(name, "/")
		if !fromHome {
			rel = join(w.boxDir, name)
		}
		w.outsideFolder(home, rel)
	})
	w.tree.Subscriptions = names
	for _, d := range dropped {
		w.skip(chosen.path, &d)
	}
}

// outsideFolder reports a subscribed folder that UW showed but that is not below the mail
// directory. rel is its path below the home.
func (w *walker) outsideFolder(home *os.File, rel string) {
	path := join(w.homePath, rel)
	below := func(dir string) bool { return path == dir || strings.HasPrefix(path, withSlash(dir)) }
	switch {
	case w.taken[path], below(w.mailPath), w.mh != nil && below(w.mhPath):
		return // it was reported, or is converted
	}
	names := splitPath(rel)
	last := len(names) - 1
	dir, s, err := openUserPath(home, names[:last], w.user.UID, pathOnly)
	var f *File
	if err == nil && s == nil {
		defer dir.Close()
		var st *unix.Stat_t
		if st, err = lstatAt(dir, names[last]); err == nil {
			if st.Mode&unix.S_IFMT == unix.S_IFDIR {
				f, s, err = w.lookDirectory(dir, names[last], path)
			} else {
				f, s, err = w.look(dir, names[last])
			}
		}
	} else if s != nil && s.Kind == SkipNotFolder {
		return // below a file is nothing
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENAMETOOLONG), f != nil && f.Format == FormatEmpty, s != nil && !s.MayHoldMail:
		return
	case err != nil:
		w.unreadable(path, err)
	case s != nil:
		s.Text = "subscribed folder outside the mail directory, not converted: " + s.Text
		w.skip(path, s)
	default:
		text := fmt.Sprintf("subscribed folder outside the mail directory, %d bytes in %s format, not converted; move it into the mail directory, or convert the whole home", f.Size, f.Format)
		if w.boxDir == "" {
			text += " under UW's own names (--mail-dir .)"
		}
		w.skip(path, &Skipped{Kind: SkipOutside, MayHoldMail: true, Text: text})
	}
	w.taken[path] = true
}

// candidates returns those of files that exist, with their times. What exists and is
// no plain file of the user's is reported.
func (w *walker) candidates(files []subscriptionFile) []subscriptionFile {
	var found []subscriptionFile
	for _, f := range files {
		if f.dir == nil {
			continue
		}
		file, st, s, err := openUserFile(f.dir, f.name, w.user.UID)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			w.unreadable(f.path, err)
		case s != nil:
			s.Text = "list of subscriptions: " + s.Text
			w.skip(f.path, s)
		default:
			file.Close()
			f.modTime = timeOf(st.Mtim)
			found = append(found, f)
		}
	}
	return found
}

// readSubscriptions reads the file, and one byte beyond the limit if it is too long.
func (w *walker) readSubscriptions(f *subscriptionFile) (string, error) {
	file, _, s, err := openUserFile(f.dir, f.name, w.user.UID)
	if err != nil {
		return "", err
	}
	if s != nil {
		return "", fmt.Errorf("%s: %s", s.Kind, s.Text)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSubscriptionBytes+1))
	return string(data), err
}

// find looks a user's name up below dir, through no link.
func find(dir *os.File, name string, uid uint32) (found, isDir bool) {
	parent := dir
	defer func() {
		if parent != dir {
			parent.Close()
		}
	}()
	for {
		element, rest, more := strings.Cut(name, "/")
		if !more {
			st, err := lstatAt(parent, element)
			return err == nil, err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
		}
		next, s, err := openUserDir(parent, element, uid, pathOnly)
		if err != nil || s != nil {
			return false, false
		}
		if parent != dir {
			parent.Close()
		}
		parent, name = next, rest
	}
}

// place is where a subscribed name leads.
type place int

const (
	placeNowhere   place = iota
	placeFolder          // a file below the mail directory
	placeDirectory       // a directory below the mail directory
	placeOutside         // something in the home, not below the mail directory
)

// prefix is what clients and UW write before a name, and what the name has here instead.
type prefix struct {
	written, here string
	outside       bool // the name is not below the mail directory
}

// prefixesOf returns the prefixes that mean the mail directory, most particular first
// (env_unix.c mailboxfile). UW's own names start in boxDir; both are "" for the home.
func prefixesOf(u User, mailDir, boxDir string) []prefix {
	list := []prefix{{written: strings.TrimSuffix(u.Home, "/") + "/" + withSlash(mailDir)}}
	if rest, ok := strings.CutPrefix(withSlash(mailDir), withSlash(boxDir)); ok {
		list = append(list, prefix{written: "~" + u.Name + "/" + rest}, prefix{written: "~/" + rest})
		if rest != "" {
			list = append(list, prefix{written: rest})
		}
	}
	return list
}

// outsideOf returns the prefixes of names in the home that are not below the mail
// directory: those of the home itself, with "/" here, and of where UW's own names start.
func outsideOf(u User) []prefix {
	return []prefix{
		{written: strings.TrimSuffix(u.Home, "/") + "/", here: "/", outside: true},
		{written: "~" + u.Name + "/", outside: true},
	}
}

// cleanSubscriptions turns the text of a .mailboxlist into names below the mail
// directory. UW stores there what clients sent, one name a line and unescaped, and
// lists every line, so duplicates, CRs, blank lines and names of other servers and
// namespaces must be taken out here. A name without the prefix of the mail directory is
// kept unless it leads to something else in the home, as hosts with the mail directory
// set on the server have none. Names of folders that are gone are kept: they may come
// back. outside is told each name that may be a folder in the home but not below the mail
// directory: with a slash, from the home on, else from where UW's own names start. It is told
// once, as a directory takes long to look at, and every line may name it.
func cleanSubscriptions(data string, prefixes []prefix, where func(name string) place, outside func(name string)) ([]Subscription, []Skipped) {
	var (
		names   []Subscription
		dropped skipList
		seen    = make(map[Subscription]bool)
		asked   = make(map[string]bool)
		lines   = 0
	)
	outsideOnce := func(name string) {
		if !asked[name] {
			asked[name] = true
			outside(name)
		}
	}
	for line := range strings.Lines(data) {
		if lines++; lines > maxSubscriptionLines {
			dropped.add(Skipped{Kind: SkipLimit, Text: fmt.Sprintf("subscriptions beyond %d lines are not read", maxSubscriptionLines)})
			break
		}
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		sub, why := cleanSubscription(line, prefixes, where, outsideOnce)
		if why != "" {
			dropped.add(Skipped{Kind: SkipSubscription, Subscription: clip(line),
				Text: fmt.Sprintf("line %d: subscription %q is not kept: %s", lines, clip(line), why)})
			continue
		}
		if !seen[sub] {
			seen[sub] = true
			names = append(names, sub)
		}
	}
	return names, dropped.result("", "")
}

// cleanSubscription returns the name that one line means, or why it means none.
func cleanSubscription(line string, prefixes []prefix, where func(name string) place, outside func(name string)) (sub Subscription, why string) {
	switch {
	case len(line) > maxSubscriptionName:
		return sub, "longer than a name can be"
	case strings.ContainsRune(line, 0):
		return sub, "contains a NUL"
	case strings.EqualFold(line, "INBOX"):
		return Subscription{Name: "INBOX", Inbox: true}, ""
	case line[0] == '{':
		return sub, "it is on another server"
	}

	if strings.EqualFold(line, "#mhinbox") {
		line = "#mh/inbox" // UW's other name for it (mh.c)
	}
	name, prefixed, found := line, false, prefix{}
	for _, p := range prefixes {
		if name, prefixed = strings.CutPrefix(line, p.written); prefixed {
			found = p
			break
		}
	}
	if !prefixed {
		name = strings.TrimPrefix(line, "~/") // UW's word for the home, where names begin anyway
	}
	elements := splitPath(name)
	directory := strings.HasSuffix(name, "/") || len(elements) == 0
	clean := strings.Join(elements, "/")
	switch {
	case !prefixed && line[0] == '#':
		return sub, "it is in another namespace (news, mh, shared)"
	case !prefixed && (name == "" || name[0] == '/' || name[0] == '~'):
		return sub, "it is outside the user's mail directory"
	case slices.Contains(elements, ".."):
		return sub, "it leaves the mail directory"
	case directory:
		return sub, "it names a directory"
	}
	clean = found.here + clean
	const away = "it is in the home but not below the mail directory"
	if found.outside {
		outside(clean)
		return sub, away
	}
	switch where(clean) {
	case placeDirectory:
		return sub, "it names a directory"
	case placeOutside:
		if !prefixed {
			outside(clean)
			return sub, away
		}
	case placeNowhere:
		if !prefixed {
			outside(clean) // a link may be on the way
		}
	}
	return Subscription{Name: clean}, ""
}

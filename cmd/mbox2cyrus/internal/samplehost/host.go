package samplehost

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// spoolGroup is Debian's group "mail", to which the files of var/mail belong.
const spoolGroup = 8

// Write writes a host into dir, which is created if missing and must hold no
// host yet. Run by root it gives the files to their users, by numeric id; run
// by another user everything belongs to that one.
//
// The folders of a user lie in home/USER/mail, the inbox is var/mail/USER.
func Write(dir string, opts Options) (*Truth, error) {
	opts = opts.withDefaults()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("sample host: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("sample host: %w", err)
	}
	defer root.Close()
	h := &host{
		root:    root,
		opts:    opts,
		rng:     rand.New(rand.NewPCG(opts.Seed, 0)),
		asRoot:  os.Geteuid() == 0,
		nextUID: opts.FirstUID,
		truth:   &Truth{Root: dir},
	}
	h.texts = newTexts(h.rng)
	if err := h.write(); err != nil {
		return nil, fmt.Errorf("sample host %s: %w", dir, err)
	}
	return h.truth, nil
}

// host is a host that is being written.
type host struct {
	root    *os.Root
	opts    Options
	rng     *rand.Rand
	texts   *texts
	asRoot  bool
	nextUID int
	passwd  strings.Builder
	dirs    []string // in the order of making
	truth   *Truth
}

func (h *host) write() error {
	for _, dir := range []string{"etc", "var/mail", "home"} {
		if err := h.mkdirs(dir, 0o755, 0, 0); err != nil {
			return err
		}
	}
	h.passwd.WriteString("root:x:0:0:root:/root:/bin/sh\ndaemon:*:1:1::/:\nmail:*:8:8:mail:/var/mail:/sbin/nologin\n")
	if err := h.ordinaryUsers(); err != nil {
		return err
	}
	if !h.opts.Plain {
		if err := h.oddUsers(); err != nil {
			return err
		}
	}
	h.passwd.WriteString("nobody:*:65534:65534::/nonexistent:/sbin/nologin\n")
	if err := h.file("etc/passwd", 0o644, 0, 0, h.passwd.String()); err != nil {
		return err
	}
	for _, dir := range slices.Backward(h.dirs) { // parents last, their times change with each child
		if err := h.root.Chtimes(dir, lastMail, lastMail); err != nil {
			return err
		}
	}
	return nil
}

// logins are the first ordinary users; further ones are called userN.
var logins = []string{"joe", "ann", "bob", "eva", "kim", "lee", "max", "pat", "sam", "zoe"}

func (h *host) ordinaryUsers() error {
	var names []string
	for i := range h.opts.Users {
		if i < len(logins) {
			names = append(names, logins[i])
		} else {
			names = append(names, fmt.Sprintf("user%d", i+1))
		}
	}
	if h.opts.CapitalUsers {
		names = append(names, "John.Smith", "MaryAnn")
	}
	// Few users have much mail, many have little.
	weights := make([]float64, len(names))
	for i := range weights {
		weights[i] = math.Exp(0.8 * h.rng.NormFloat64())
	}
	messages := apportion(h.opts.Messages, weights)
	folders := ordinaryFolders
	if h.opts.InboxOnly {
		folders = folders[:1]
	}
	shares := make([]float64, len(folders))
	for i, r := range folders {
		shares[i] = r.share
	}
	for i, name := range names {
		u, err := h.user(name, true)
		if err != nil {
			return err
		}
		for j, n := range apportion(messages[i], shares) {
			if err := h.mailFolder(u, j == 0, folders[j], n); err != nil {
				return err
			}
		}
		if err := h.subscriptions(u); err != nil {
			return err
		}
		h.truth.Users = append(h.truth.Users, *u)
	}
	return nil
}

// apportion splits total by weights; the parts add up to total.
func apportion(total int, weights []float64) []int {
	var all, sum float64
	for _, w := range weights {
		all += w
	}
	parts := make([]int, len(weights))
	given := 0
	for i, w := range weights {
		sum += w
		upTo := int(math.Round(float64(total) * sum / all))
		parts[i], given = upTo-given, upTo
	}
	return parts
}

// oddUsers adds users each of whom is odd in one way, and a stray spool file.
func (h *host) oddUsers() error {
	inbox := ordinaryFolders[0]
	for _, odd := range []struct {
		name string
		home bool
		fill func(u *User) error
	}{
		{"oddnames", true, h.fillOddNames},
		{"oddfiles", true, h.fillOddFiles},
		{"nohome", false, func(u *User) error { return h.mailFolder(u, true, inbox, 5) }},
		{"noinbox", true, func(u *User) error { return h.mailFolder(u, false, ordinaryFolders[1], 5) }},
		{"emptyinbox", true, func(u *User) error { return h.emptyFolder(u, true, "INBOX") }},
		{"nomail", true, func(*User) error { return nil }},
	} {
		u, err := h.user(odd.name, odd.home)
		if err != nil {
			return err
		}
		if err := odd.fill(u); err != nil {
			return err
		}
		h.truth.Users = append(h.truth.Users, *u)
	}
	h.truth.Strays = []string{"var/mail/left-in-2002"}
	return h.file("var/mail/left-in-2002", 0o660, 499, spoolGroup,
		"From a@example.org Mon Nov 11 10:01:00 2002\nFrom: a@example.org\nSubject: for someone who left\n\ntext\n\n")
}

func (h *host) fillOddNames(u *User) error {
	if err := h.mailFolder(u, true, ordinaryFolders[0], 4); err != nil {
		return err
	}
	for i, name := range oddNames {
		r := recipe{name: name, record: record(i % 2)}
		if err := h.mailFolder(u, false, r, 1+i%4); err != nil {
			return err
		}
	}
	if err := h.mailFolder(u, false, ordinaryFolders[8], 2); err != nil {
		return err
	}
	return h.subscriptions(u)
}

func (h *host) fillOddFiles(u *User) error {
	if err := h.mailFolder(u, true, ordinaryFolders[0], 12); err != nil {
		return err
	}
	for _, r := range append([]recipe{ordinaryFolders[1]}, oddFolders...) {
		if err := h.mailFolder(u, false, r, 6); err != nil {
			return err
		}
	}
	if err := h.mailFolder(u, false, recipe{name: "emptied", record: inPseudo}, 0); err != nil {
		return err
	}
	if err := h.emptyFolder(u, false, "zero"); err != nil {
		return err
	}
	trap := h.newFolder(u, false, recipe{name: "trap"})
	if err := h.storeFolder(u, trap, trap.writeTrap); err != nil {
		return err
	}
	for _, f := range notMail {
		name := path.Join(u.Home, "mail", f.name)
		u.NotMail = append(u.NotMail, NotMail{Path: name, Why: f.why})
		if err := h.file(name, 0o600, u.UID, u.GID, f.content); err != nil {
			return err
		}
	}
	link := path.Join(u.Home, "mail", "passwd-link")
	u.NotMail = append(u.NotMail, NotMail{Path: link, Why: "symbolic link"})
	if err := h.root.Symlink("../../../etc/passwd", link); err != nil {
		return err
	}
	return h.subscriptions(u)
}

// user adds an account, with a home directory if wanted.
func (h *host) user(name string, home bool) (*User, error) {
	u := &User{Name: name, UID: h.nextUID, GID: h.nextUID}
	h.nextUID++
	fmt.Fprintf(&h.passwd, "%s:x:%d:%d:%[1]s,,,:/home/%[1]s:/bin/bash\n", name, u.UID, u.GID)
	if !home {
		return u, nil
	}
	u.Home = "home/" + name
	return u, h.mkdirs(path.Join(u.Home, "mail"), 0o700, u.UID, u.GID)
}

// newFolder prepares the writing of a folder. Each has random numbers of its
// own, so that it does not depend on what else the host holds.
func (h *host) newFolder(u *User, inbox bool, r recipe) *folderWriter {
	file := path.Join(u.Home, "mail", r.name)
	if inbox {
		file = path.Join("var/mail", u.Name)
	}
	sum := fnv.New64a()
	io.WriteString(sum, file) // a hash.Hash never fails
	rng := rand.New(rand.NewPCG(h.opts.Seed, sum.Sum64()))
	return &folderWriter{
		recipe: r,
		rng:    rng,
		mailer: &mailer{rng: rng, texts: h.texts, scale: h.opts.bodyScale()},
		owner:  u.Name,
		zone:   h.opts.Location,
		omit:   h.opts.OmitMessages,
		folder: Folder{Name: r.name, Inbox: inbox, Path: file},
	}
}

// mailFolder writes a folder of n messages.
func (h *host) mailFolder(u *User, inbox bool, r recipe, n int) error {
	f := h.newFolder(u, inbox, r)
	return h.storeFolder(u, f, func(w io.Writer) error { return f.write(w, n) })
}

// emptyFolder writes a file of no bytes, which is a mailbox without messages.
func (h *host) emptyFolder(u *User, inbox bool, name string) error {
	f := h.newFolder(u, inbox, recipe{name: name})
	f.folder.UIDNext = 1
	return h.storeFolder(u, f, func(io.Writer) error { return nil })
}

// storeFolder creates the folder's file, has it written and adds the folder
// to its user.
func (h *host) storeFolder(u *User, f *folderWriter, write func(io.Writer) error) error {
	mode, group := os.FileMode(0o600), u.GID
	if f.folder.Inbox {
		mode, group = 0o660, spoolGroup
	} else if err := h.mkdirs(path.Dir(f.folder.Path), 0o700, u.UID, u.GID); err != nil {
		return err
	}
	if err := h.create(f.folder.Path, mode, u.UID, group, write); err != nil {
		return err
	}
	u.Folders = append(u.Folders, f.folder)
	return nil
}

// subscriptions writes .mailboxlist (UW smanager.c) as it looks after years:
// most folders, a duplicate, the inbox in lower case, a line with CR, a blank
// line and names that lead nowhere.
func (h *host) subscriptions(u *User) error {
	lines := []string{"inbox"}
	u.Subscribed = []string{"INBOX"}
	for _, f := range u.Folders {
		if f.Inbox || f.Name == "Trash" || f.Name == "INBOX" || strings.Contains(f.Name, "\n") {
			continue
		}
		u.Subscribed = append(u.Subscribed, f.Name)
		lines = append(lines, "mail/"+f.Name)
	}
	if !h.opts.Plain {
		lines[len(lines)-1] += "\r"
		lines = append(append(lines, otherSubscriptions...), "", lines[1])
		u.SubscribedElsewhere = otherSubscriptions
	}
	return h.file(path.Join(u.Home, ".mailboxlist"), 0o600, u.UID, u.GID, strings.Join(lines, "\n")+"\n")
}

// mkdirs makes a directory and its parents, all with one mode and owner.
func (h *host) mkdirs(dir string, mode os.FileMode, uid, gid int) error {
	if parent := path.Dir(dir); parent != "." {
		if err := h.mkdirs(parent, mode, uid, gid); err != nil {
			return err
		}
	}
	if err := h.root.Mkdir(dir, mode); err != nil {
		if errors.Is(err, os.ErrExist) && slices.Contains(h.dirs, dir) {
			return nil
		}
		return err
	}
	h.dirs = append(h.dirs, dir)
	if err := h.root.Chmod(dir, mode); err != nil { // whatever the umask
		return err
	}
	if !h.asRoot {
		return nil
	}
	return h.root.Chown(dir, uid, gid)
}

func (h *host) file(name string, mode os.FileMode, uid, gid int, content string) error {
	return h.create(name, mode, uid, gid, func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	})
}

// create makes a new file, has it written and gives it its owner and time.
func (h *host) create(name string, mode os.FileMode, uid, gid int, write func(io.Writer) error) (err error) {
	f, err := h.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err == nil {
			err = h.root.Chtimes(name, lastMail.Add(time.Minute), lastMail)
		}
	}()
	if err := write(f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if h.asRoot {
		if err := f.Chown(uid, gid); err != nil {
			return err
		}
	}
	return f.Chmod(mode)
}

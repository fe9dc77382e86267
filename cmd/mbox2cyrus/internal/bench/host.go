package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
)

// A host is a UW host that was made to be migrated.
type host struct {
	root     string
	users    []samplehost.User
	messages int
	bytes    int64 // as UW serves them
}

// makeHost writes a host of ordinary users. inboxOnly gives each one folder.
func makeHost(root string, users, messages int, bytes int64, inboxOnly bool) (*host, error) {
	truth, err := samplehost.Write(root, samplehost.Options{Seed: 3, Users: users, Messages: messages, Bytes: bytes,
		Plain: true, InboxOnly: inboxOnly, OmitMessages: true})
	if err != nil {
		return nil, err
	}
	h := &host{root: root, users: truth.Users}
	for _, u := range h.users {
		for _, f := range u.Folders {
			h.messages += f.Count
			h.bytes += f.Bytes
		}
	}
	return h, nil
}

func (h *host) String() string {
	return fmt.Sprintf("%d users, %d folders, %d messages, %d MB", len(h.users), h.folders(), h.messages, h.bytes>>20)
}

func (h *host) folders() (n int) {
	for _, u := range h.users {
		n += len(u.Folders)
	}
	return n
}

// oneIn is how many folders have one that changes before the last pass: 1 %.
const oneIn = 100

// changing are the files of one folder in a hundred, of one at least: folders with mail, from
// all sizes.
func (h *host) changing() (paths []string) {
	var all []samplehost.Folder
	for _, u := range h.users {
		for _, f := range u.Folders {
			if f.Count > 0 {
				all = append(all, f)
			}
		}
	}
	slices.SortFunc(all, func(a, b samplehost.Folder) int { return cmp.Compare(a.Bytes, b.Bytes) })
	for i := min(oneIn, len(all)) / 2; i < len(all); i += oneIn {
		paths = append(paths, filepath.Join(h.root, all[i].Path))
	}
	return paths
}

// change appends a message to those folders. undo makes them what they were.
func (h *host) change() (undo func() error, err error) {
	var undos []func() error
	undo = func() error {
		var errs []error
		for _, u := range undos {
			errs = append(errs, u())
		}
		return errors.Join(errs...)
	}
	for _, path := range h.changing() {
		u, err := appendMail(path)
		if err != nil {
			return nil, errors.Join(err, undo())
		}
		undos = append(undos, u)
	}
	return undo, nil
}

// appendMail delivers a message to a folder. undo takes it away again.
func appendMail(path string) (undo func() error, err error) {
	before, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString("From late@example.org Mon Nov 29 09:00:00 2004\nFrom: late@example.org\nSubject: one more\nMessage-ID: <late@example.org>\nDate: Mon, 29 Nov 2004 09:00:00 +0000\n\nIt came after the first pass.\n\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return func() error {
		return errors.Join(os.Truncate(path, before.Size()), os.Chtimes(path, before.ModTime(), before.ModTime()))
	}, nil
}

// makeHugeHost writes a host of one user, in whose inbox is one message of that size among
// a thousand small ones.
func makeHugeHost(root string, size int64) (err error) {
	for _, d := range []string{"etc", "var/mail", "home/huge"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("huge:x:1001:1001::/home/huge:/bin/sh\n"), 0o644); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(root, "var/mail/huge"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Chown(1001, 1001); err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	line := strings.Repeat("abcdefghijklmnopqrstuvwxyz0123456789+/AB", 2)[:76] + "\n"
	date := time.Date(2003, 6, 2, 10, 11, 12, 0, time.UTC)
	for n := range 1001 {
		lines := int64(5 + n%200)
		if n == 500 {
			lines = size / int64(len(line))
		}
		date = date.Add(time.Hour)
		fmt.Fprintf(w, "From a@example.org %s\nFrom: a@example.org\nSubject: message %d\nMessage-ID: <%[2]d@example.org>\nDate: %s\n\n",
			date.Format(time.ANSIC), n, date.Format(time.RFC1123Z))
		for range lines {
			w.WriteString(line)
		}
		w.WriteString("\n")
	}
	return w.Flush() // which has the error of every write before
}

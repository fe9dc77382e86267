package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestRetireInUse: retire comes days after go-live, when users have read mail, filed it, and
// removed some. That is no obstacle; mail that is not as it was brought is one.
func TestRetireInUse(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: true})
	h := newPassHost(t)
	archive := makeArchive(t, t.TempDir())
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	h.write("var/mail/joe", letter(1)+letter(2)+letter(3))
	h.write("home/joe/mail/work", letter(4)+letter(5))
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	useCyrus(t, srv, func(client *imapclient.Client) error {
		for name, flag := range map[string]imap.Flag{"INBOX": imap.FlagDeleted, "work": "Later"} {
			if _, err := client.Select(name, nil).Wait(); err != nil {
				return err
			}
			if err := client.Store(imap.SeqSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{flag, imap.FlagSeen}}, nil).Close(); err != nil {
				return err
			}
		}
		if _, err := client.Select("INBOX", nil).Wait(); err != nil {
			return err
		}
		return client.Expunge().Close()
	})
	retire := append([]string{"retire", "--archive", archive}, flags...)

	// A message file that is not what was brought: nothing of joe's goes.
	file := filepath.Join(srv.Spool, "user/joe/work/1.")
	good := mustRead(t, file)
	for _, do := range []func() error{
		func() error { return os.WriteFile(file, []byte(good[1:]), 0o600) },
		func() error { return os.Remove(file) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if o := runJSON(t, retire...); o.code != 3 || len(o.problems("not-retired")) != 1 {
			t.Errorf("a message file is damaged: exit code %d\n%s", o.code, o.stderr)
		}
		mustRead(t, filepath.Join(h.root, "var/mail/joe"))
	}
	if err := os.WriteFile(file, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}

	o := runJSON(t, retire...)
	if o.code != 0 || len(o.problems("used-since")) != 2 {
		t.Errorf("exit code %d, %v\n%s", o.code, o.problems("used-since"), o.stderr)
	}
	for _, path := range []string{"var/mail/joe", "home/joe/mail/work"} {
		mustRead(t, filepath.Join(archive, path))
	}
}

// TestRetireLateMail: mail comes when retire has looked at the host already, and waits for a lock
// of another user. It does not go into the archive without having been migrated, be it to one
// of the places of an INBOX or to a mailbox in one that is a directory.
func TestRetireLateMail(t *testing.T) {
	for _, late := range []struct{ path, text string }{
		{"var/mail/joe", letter(3) + letter(9)},
		{"home/joe/mail/work/old/2", "Subject: late\r\n\r\nlate\r\n"},
		{"home/joe/mail/work/sub/list", letter(1) + letter(9)},
	} {
		t.Run(late.path, func(t *testing.T) {
			r := newRetirement(t)
			r.write("etc/passwd", "ann:x:1002:1002::/home/ann:/bin/sh\njoe:x:1001:1001::/home/joe:/bin/sh\n")
			r.write("home/joe/mbox", letter(1)+letter(2))
			r.write("var/mail/joe", letter(3))
			r.writeMX("home/joe/mail/work", 1)
			r.writeMX("home/joe/mail/work/old", 2)
			r.write("home/joe/mail/work/sub/list", letter(1))
			r.writeAs(1002, "var/mail/ann", letter(1))
			r.migrate()
			r.writeAs(1002, "var/mail/ann.lock", "1")
			info, err := os.Stat(filepath.Join(r.root, "var/mail/ann"))
			if err != nil {
				t.Fatal(err)
			}
			st := info.Sys().(*syscall.Stat_t)
			session := fmt.Sprintf("/tmp/.%x.%x", st.Dev, st.Ino) // which is taken before the dot lock
			done := make(chan outcome)
			go func() { done <- runJSON(t, append(r.retire, "--lock", "yes", "--lock-wait", "60s")...) }()
			until(t, "retire waits for ann", func() bool { _, err := os.Lstat(session); return err == nil })
			// Only that: the directories above it stay as they are.
			path := filepath.Join(r.root, late.path)
			if err := errors.Join(os.WriteFile(path, []byte(late.text), 0o600), os.Chown(path, 1001, 1001)); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(r.root, "var/mail/ann.lock")); err != nil {
				t.Fatal(err)
			}
			o := <-done
			if p := o.problems("retire-failed"); o.code != 1 || len(p) != 1 || !strings.Contains(p[0]["text"].(string), "changed since it was verified") {
				t.Errorf("exit code %d, %v\n%s", o.code, o.severe(), o.stderr)
			}
			if now := mustRead(t, path); now != late.text {
				t.Errorf("%q", now)
			}
			r.archived("var/mail/ann")
			r.migrate()
			r.do(0, r.retire...)
			r.archived("var/mail/joe", "home/joe/mbox", "home/joe/mail/work/1", late.path)
			r.do(0, append([]string{"verify", "--level", "content"}, r.flags...)...)
		})
	}
}

// TestRetireLateWriter: a delivery that locks with flock(2) alone has the folder open, and gets
// the lock when it is in the archive already. That is told.
func TestRetireLateWriter(t *testing.T) {
	r := newRetirement(t)
	r.write("var/mail/joe", letter(1)+letter(2))
	r.migrate()
	inbox := filepath.Join(r.root, "var/mail/joe")
	f, err := os.OpenFile(inbox, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		for {
			if _, err := os.Lstat(inbox); err != nil {
				break // it is moved; the lock is given back soon after
			}
			time.Sleep(100 * time.Microsecond)
		}
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		_, werr := f.WriteString(letter(9))
		done <- errors.Join(err, werr, f.Close())
	}()
	o := r.do(3, append(r.retire, "--lock", "yes")...)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(o.problems("archive-differs")) != 1 {
		t.Error(o.stderr)
	}
	if now := mustRead(t, filepath.Join(r.archive, "var/mail/joe")); now != letter(1)+letter(2)+letter(9) {
		t.Errorf("%q", now)
	}
}

// TestRetireLateWriterInDirectory: the same of a file in a mailbox that is a directory, whose own
// times it does not change.
func TestRetireLateWriterInDirectory(t *testing.T) {
	r := newRetirement(t)
	r.writeMX("home/joe/mail/work", 1)
	r.write("var/mail/joe", letter(1))
	r.migrate()
	dir := filepath.Join(r.root, "home/joe/mail/work")
	index, err := os.OpenFile(filepath.Join(dir, ".mxindex"), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		for {
			if _, err := os.Lstat(dir); err != nil {
				break
			}
			time.Sleep(100 * time.Microsecond)
		}
		err := syscall.Flock(int(index.Fd()), syscall.LOCK_EX)
		_, werr := index.WriteString("M00000002;00000000.0000")
		done <- errors.Join(err, werr, index.Close())
	}()
	o := r.do(3, append(r.retire, "--lock", "yes")...)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(o.problems("archive-differs")) != 1 {
		t.Error(o.stderr)
	}
}

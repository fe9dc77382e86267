package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
)

// mb2md converts a user's folders with one call and the inbox with another.
func (c *contest) mb2md() error {
	return c.eachUser(func(u samplehost.User) error {
		dir, err := c.mkdir("maildir", u.Name)
		if err != nil {
			return err
		}
		if err := do(c.as("mb2md", "-s", filepath.Join(c.copy, u.Home, "mail"), "-R", "-d", dir)); err != nil {
			return err
		}
		return do(c.as("mb2md", "-s", filepath.Join(c.copy, "var/mail", u.Name), "-d", dir))
	})
}

// maildirs reads Maildir++ folders as mb2md writes them: .work.2003 below the inbox.
func (c *contest) maildirs() (mail, error) {
	all := mail{}
	for _, u := range c.host.users {
		top := filepath.Join(c.dir, "maildir", u.Name)
		for _, f := range u.Folders {
			dir := top
			if !f.Inbox {
				dir = filepath.Join(top, "."+strings.ReplaceAll(f.Name, "/", "."))
			}
			b, err := readMaildir(dir)
			if err != nil {
				return nil, err
			}
			all[u.Name+"/"+f.Name] = b
		}
	}
	return all, nil
}

// maildirFlags are the letters of the names of Maildir files.
var maildirFlags = map[rune]string{'S': `\Seen`, 'R': `\Answered`, 'F': `\Flagged`, 'T': `\Deleted`, 'D': `\Draft`}

func readMaildir(dir string) (b mailbox, err error) {
	for _, sub := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub)) // sorted: mb2md counts in the name
		if err != nil {
			return b, err
		}
		for _, e := range entries {
			fi, err := e.Info()
			if err != nil {
				return b, err
			}
			data, err := os.ReadFile(filepath.Join(dir, sub, e.Name()))
			if err != nil {
				return b, err
			}
			l := letter{date: fi.ModTime().Unix()}
			var flags []string
			_, info, _ := strings.Cut(e.Name(), ":2,")
			for _, c := range info {
				flags = append(flags, maildirFlags[c])
			}
			l.setFlags(flags)
			var d cyrustest.Digest
			if _, err := d.Write(bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))); err != nil {
				return b, err
			}
			l.whole, l.text = d.Sums()
			b.letters = append(b.letters, l)
		}
	}
	return b, nil
}

// mailutilMix converts folder by folder, as UW's own manual says to change formats.
func (c *contest) mailutilMix() error {
	if _, err := c.mkdir("mix"); err != nil {
		return err
	}
	return c.eachUser(func(u samplehost.User) error {
		for _, f := range u.Folders {
			from, err := c.below(filepath.Join(c.copy, f.Path))
			if err != nil {
				return err
			}
			to, err := c.below(filepath.Join(c.dir, "mix", u.Name, f.Name))
			if err != nil {
				return err
			}
			if err := do(c.as("mailutil", "copy", "-kw", from, "#driver.mix/"+to)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *contest) mixes() (mail, error) {
	all := mail{}
	for _, u := range c.host.users {
		for _, f := range u.Folders {
			b, err := readFolder(filepath.Join(c.dir, "mix", u.Name, f.Name))
			if err != nil {
				return nil, err
			}
			all[u.Name+"/"+f.Name] = b
		}
	}
	return all, nil
}

// formail does what uwimap2cyrus and the scripts of "Managing IMAP" do, mended where they
// leave empty mailboxes behind today: Cyrus makes all mailboxes in one call and says where
// they are, formail gives each message to a program that writes it to N., with CRLF and
// without its From_ line, and reconstruct makes an index of that.
func (c *contest) formail() error {
	ctx := context.Background()
	type job struct{ folder, mailbox string }
	var jobs []job
	var mailboxes []string
	for _, u := range c.host.users {
		for _, f := range u.Folders {
			name := "user/" + u.Name
			if !f.Inbox {
				name += "/" + f.Name
			}
			jobs = append(jobs, job{f.Path, name})
			mailboxes = append(mailboxes, name)
		}
	}
	if _, err := c.srv.Run(ctx, "reconstruct", append([]string{"-p", "default", "-x"}, mailboxes...)...); err != nil {
		return err
	}
	said, err := c.srv.Run(ctx, "mbpath", mailboxes...)
	if err != nil {
		return err
	}
	dirs := strings.Fields(said)
	if len(dirs) != len(jobs) {
		return fmt.Errorf("mbpath names %d directories of %d mailboxes: %s", len(dirs), len(jobs), said)
	}
	err = c.parallel(len(jobs), func(i int) error {
		in, err := os.Open(filepath.Join(c.copy, jobs[i].folder))
		if err != nil {
			return err
		}
		defer in.Close() // only read
		cmd := c.as("formail", "-s", "sh", "-c", `exec sed '1d;s/$/\r/' >"$0/$FILENO."`, dirs[i])
		cmd.Stdin = in
		cmd.Env = append(cmd.Env, "FILENO=1")
		return do(cmd)
	})
	if err != nil {
		return err
	}
	_, err = c.reconstruct(c.srv, c.userNames())
	return err
}

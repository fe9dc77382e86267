package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestKeywordsFull brings other keywords with every pass, until the mailbox has as many as
// Cyrus can hold. The messages arrive, and the keywords that do not are told of.
func TestKeywordsFull(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	do := runWith(t, flagsFor(srv, h.root, state)...)
	h.write("var/mail/joe", letter(1))
	const names = 30 // that UW knows in a folder
	folder := func(pass int) string {
		base := fmt.Sprintf("X-IMAPbase: 1054563072 %010d", pass)
		for n := range names {
			base += fmt.Sprintf(" p%dk%d", pass, n)
		}
		var b strings.Builder
		for n := 1; n <= pass; n++ {
			internal := []string{fmt.Sprintf("X-UID: %d", n), "Status: RO", fmt.Sprintf("X-Keywords: p%dk%d", pass, names-n)}
			if n == 1 {
				internal = append([]string{base}, internal...)
			}
			b.WriteString(letter(n, internal...))
		}
		return b.String()
	}
	const full = 5 // the pass that has 22 too many
	for pass := 1; pass <= full+1; pass++ {
		h.write("home/joe/mail/work", folder(pass))
		code, told := 0, 0
		if pass >= full {
			code, told = 2, 1
		}
		p := do(code, "migrate").problems("keywords-full")
		if len(p) != told {
			t.Fatalf("pass %d: %d times it is told: %v", pass, len(p), p)
		}
		if pass == full {
			for _, part := range []string{"128 keywords", "22 ", "p5k8,", "p5k29", "undo"} {
				if text := p[0]["text"].(string); !strings.Contains(text, part) || strings.Contains(text, "p5k7,") || p[0]["folder"] != "work" {
					t.Errorf("it is told as %v, without %q", p[0], part)
				}
			}
		}
		do(0, "verify")
		do(0, "verify", "--level", "content")
		do(0, "verify", "--imap")
	}

	state = filepath.Join(t.TempDir(), "another") // the mailboxes are recognised
	do = runWith(t, flagsFor(srv, h.root, state)...)
	if o := do(2, "migrate"); len(o.problems("recognised")) != 2 || len(o.problems("keywords-full")) != 1 {
		t.Errorf("%v", o.severe())
	}

	// What it is told to do helps.
	if o := runJSON(t, append([]string{"undo", "--user", "joe", "--recognised"}, cyrusFlagsFor(srv, state)...)...); o.code != 0 {
		t.Fatalf("undo: exit code %d\n%s", o.code, o.stderr)
	}
	do(0, "migrate")
	want := []string{`\Seen`, fmt.Sprintf("p%dk%d", full+1, names-1)}
	if v := serve(t, srv)["work"]; len(v.Messages) != full+1 || !slices.Equal(v.Messages[0].Flags, want) {
		t.Errorf("after undo: %q", describe(v))
	}
}

// TestKeywordStays: a keyword whose name Cyrus cannot have keeps the one that it was given,
// in every pass, and when the state directory is lost.
func TestKeywordStays(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	h.write("var/mail/joe", letter(9))
	folder := letter(1, "X-IMAPbase: 1054563072 0000000009 a(b", "X-UID: 1", "X-Keywords: a(b")
	for pass := 1; pass <= 4; pass++ {
		if pass == 4 {
			state = filepath.Join(dir, "another")
		} else {
			h.write("home/joe/mail/work", folder)
			folder += letter(pass+1, fmt.Sprintf("X-UID: %d", pass+1))
		}
		if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, state)...)...); o.code != 0 || pass == 4 && len(o.problems("recognised")) != 2 {
			t.Fatalf("pass %d: exit code %d\n%s", pass, o.code, o.stderr)
		}
	}
	if v := serve(t, srv)["work"]; len(v.Messages) != 3 || !slices.Equal(v.Messages[0].Flags, []string{"a_b"}) {
		t.Errorf("work: %q", describe(v))
	}
}

// TestKeywordAfterCutOff kills a later pass before its index is in place. Then joe gives a
// message a keyword, in Cyrus: both have changed, and his is not taken away.
func TestKeywordAfterCutOff(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1, "X-IMAPbase: 1054563072 0000000002 Work", "Status: RO", "X-Keywords: Work", "X-UID: 1")+letter(2, "Status: RO", "X-UID: 2"))
	c.pass(0, c.migrate()...)
	c.write("var/mail/joe", letter(1, "X-IMAPbase: 1054563072 0000000003 Work", "Status: RO", "X-Keywords: Work", "X-UID: 1")+letter(2, "Status: RO", "X-UID: 2")+letter(3, "X-UID: 3"))
	c.killAt("renameat", c.box(""), c.migrate("--quiet")...)
	useCyrus(t, c.srv, func(client *imapclient.Client) error {
		if _, err := client.Select("INBOX", nil).Wait(); err != nil {
			return err
		}
		return client.Store(imap.UIDSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{"Later"}}, nil).Close()
	})
	if o := c.pass(2, c.migrate()...); len(o.problems("cyrus-changed")) != 1 {
		t.Errorf("%q", o.severe())
	}
	c.pass(0, c.migrate("--on-conflict", "append")...)
	if got, want := describe(serve(t, c.srv)["INBOX"]), []string{`1 Work,\Seen 22`, `2 Later,\Seen 22`, "3  22"}; !slices.Equal(got, want) {
		t.Errorf("INBOX: %q, want %q", got, want)
	}
}

// TestCutOffTwiceWithNewKeyword kills a pass that gave a message a new keyword when its index is
// there, and the next one before it writes another: the ledger does not have the names of the
// keywords that the index has.
func TestCutOffTwiceWithNewKeyword(t *testing.T) {
	c := newCutHost(t)
	const base = "X-IMAPbase: 1054563072 1 Work"
	c.write("var/mail/joe", letter(1, base, "X-UID: 1", "X-Keywords: Work"))
	c.write("home/joe/mail/play", letter(1))
	c.pass(0, c.migrate()...)
	c.write("var/mail/joe", letter(1, base+" Play", "X-UID: 1", "X-Keywords: Work Play")+letter(2))
	c.write("home/joe/mail/play", letter(1)+letter(2))
	c.killAt("write", c.box("play/2."), c.migrate("--quiet")...)
	c.killAt("write", filepath.Join(c.state, "manifests", c.record("user.joe").UniqueID+".tsv"), c.migrate("--quiet")...)
	c.pass(0, c.migrate()...)
	c.proved()
}

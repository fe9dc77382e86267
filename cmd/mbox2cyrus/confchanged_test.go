package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// seenAndFlagged are two folders whose index is more than what Cyrus could make anew.
func seenAndFlagged(h *passHost) {
	h.write("var/mail/joe", letter(1, "Status: RO", "X-Status: F"))
	h.write("home/joe/mail/work", letter(2, "X-IMAPbase: 1054544436 20", "X-UID: 17", "Status: RO"))
}

func mustHaveFlags(t *testing.T, srv *cyrustest.Server) {
	t.Helper()
	views := serve(t, srv)
	for name, want := range map[string]string{"INBOX": `1 \Flagged,\Seen 22`, "work": `17 \Seen 22`} {
		if got := describe(views[name]); !slices.Equal(got, []string{want}) {
			t.Errorf("%s has %q, want %s", name, got, want)
		}
	}
}

// metaLines give the default partition a place of its own for what is not mail, as an
// administrator may who changes imapd.conf.
func metaLines(srv *cyrustest.Server) []string {
	return []string{"metapartition-default: " + srv.Meta, "metapartition_files: header index cache"}
}

// moveMeta changes imapd.conf by metaLines; back puts the old one in its place.
func moveMeta(t *testing.T, srv *cyrustest.Server) (back func()) {
	t.Helper()
	was, err := os.ReadFile(srv.Conf)
	if err != nil {
		t.Fatal(err)
	}
	appendConf(t, srv, metaLines(srv)...)
	return func() {
		t.Helper()
		if err := os.WriteFile(srv.Conf, was, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// editConfAt returns a directory of Cyrus's programs of which one changes imapd.conf first, by the
// shell command edit.
func editConfAt(t *testing.T, srv *cyrustest.Server, program, edit string) (bin string) {
	t.Helper()
	if err := os.Chown(srv.Conf, srv.UID, srv.GID); err != nil {
		t.Fatal(err)
	}
	bin = filepath.Join(srv.Dir, "bin")
	wrapProgram(t, srv, bin, program, edit+"\n")
	return bin
}

// addMeta is a shell command that does what moveMeta does, once.
func addMeta(srv *cyrustest.Server) string {
	return fmt.Sprintf("grep -q metapartition %s || printf '%s\\n' >>%[1]s", srv.Conf, strings.Join(metaLines(srv), `\n`))
}

// cutOffAt has migrate end with exit code 1 where it comes to one of Cyrus's programs.
func cutOffAt(t *testing.T, srv *cyrustest.Server, do func(want int, args ...string) outcome, program string) {
	t.Helper()
	bin := filepath.Join(srv.Dir, "bin")
	wrapProgram(t, srv, bin, program, "exit 75\n")
	do(1, "migrate", "--cyrus-bin", bin)
}

// TestSettingsChangedMeanwhile: imapd.conf is changed while migrate is at work. Cyrus's programs go
// by the new one, and make indexes of their own in another place: mailboxes are not taken for
// proved by those that they were given in the old place.
func TestSettingsChangedMeanwhile(t *testing.T) {
	for _, program := range []string{"ctl_mboxlist", "reconstruct"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			h := newPassHost(t)
			seenAndFlagged(h)
			state := filepath.Join(t.TempDir(), "state")
			was, err := os.ReadFile(srv.Conf)
			if err != nil {
				t.Fatal(err)
			}
			bin := editConfAt(t, srv, program, addMeta(srv))
			flags := flagsFor(srv, h.root, state)
			o := runJSON(t, append([]string{"migrate", "--cyrus-bin", bin}, flags...)...)
			if p := o.problems("user-failed"); o.code != 1 || len(p) != 1 || !strings.Contains(p[0]["text"].(string), "was changed while this run went on") {
				t.Errorf("exit code %d\n%s", o.code, o.stderr)
			}
			if err := os.WriteFile(srv.Conf, was, 0o644); err != nil {
				t.Fatal(err)
			}
			do := runWith(t, flags...)
			do(0, "migrate")
			do(0, "verify", "--level", "content")
			mustHaveFlags(t, srv)
		})
	}
}

// TestSettingsChangedBeforeReconstruct: the same, when Cyrus knows the mailboxes and has not rebuilt
// them. It must not do so by the new imapd.conf, which then may stay.
func TestSettingsChangedBeforeReconstruct(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	seenAndFlagged(h)
	bin := editConfAt(t, srv, "mbpath", addMeta(srv))
	do := runWith(t, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)
	if o := do(1, "migrate", "--cyrus-bin", bin); len(o.problems("user-failed")) != 1 || len(o.problems("reconstruct-complaint")) > 0 {
		t.Errorf("the first run:\n%s", o.stderr)
	}
	do(0, "migrate")
	do(0, "verify", "--level", "content")
	mustHaveFlags(t, srv)
}

// TestSettingsInAnotherOrder: imapd.conf is written anew while migrate is at work, and says the same.
func TestSettingsInAnotherOrder(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	seenAndFlagged(h)
	bin := editConfAt(t, srv, "ctl_mboxlist", fmt.Sprintf("settings=$(sort %s)\necho \"$settings\" >%[1]s", srv.Conf))
	runWith(t, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)(0, "migrate", "--cyrus-bin", bin)
}

// TestSettingsChangedAfterCutOff: a run was cut off when mailboxes were filled, and before Cyrus
// had rebuilt them. Where imapd.conf has another place for indexes since, they are filled anew: Cyrus would
// make indexes of its own.
func TestSettingsChangedAfterCutOff(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	seenAndFlagged(h)
	state := filepath.Join(t.TempDir(), "state")
	do := runWith(t, flagsFor(srv, h.root, state)...)
	cutOffAt(t, srv, do, "mbpath")
	appendConf(t, srv, metaLines(srv)...)
	do(0, "migrate")
	do(0, "verify", "--level", "content")
	mustHaveFlags(t, srv)
}

// TestSettingsChangedAfterCutOffAndGone: the same, and a folder is gone too. Its mailbox cannot be
// filled anew, and waits for imapd.conf, or the folder, as it was.
func TestSettingsChangedAfterCutOffAndGone(t *testing.T) {
	for _, back := range []string{"imapd.conf", "folder"} {
		t.Run(back, func(t *testing.T) {
			t.Parallel()
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			h := newPassHost(t)
			seenAndFlagged(h)
			do := runWith(t, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)
			cutOffAt(t, srv, do, "mbpath")
			confBack := moveMeta(t, srv)
			work, away := filepath.Join(h.root, "home/joe/mail/work"), filepath.Join(h.root, "work")
			if err := os.Rename(work, away); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if o := do(2, "migrate"); len(o.problems("cut-off")) != 1 {
					t.Errorf("migrate tells of no mailbox that is left:\n%s", o.stderr)
				}
			}
			if back == "folder" {
				if err := os.Rename(away, work); err != nil {
					t.Fatal(err)
				}
				do(0, "migrate")
				do(0, "verify", "--level", "content")
			} else {
				confBack()
				do(2, "migrate") // joe's INBOX is where the other imapd.conf has it
			}
			if got := describe(serve(t, srv)["work"]); !slices.Equal(got, []string{`17 \Seen 22`}) {
				t.Errorf("work has %q", got)
			}
		})
	}
}

// TestSettingsChangedAfterMailCame: a run was cut off when Cyrus knew the mailboxes, Cyrus was started
// and took mail, and imapd.conf has another place for indexes since. That mail stays.
func TestSettingsChangedAfterMailCame(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	seenAndFlagged(h)
	do := runWith(t, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)
	cutOffAt(t, srv, do, "reconstruct")
	useCyrus(t, srv, appendMail)
	back := moveMeta(t, srv)
	if o := do(2, "migrate"); len(o.problems("cut-off")) != 1 {
		t.Errorf("migrate tells of no mailbox that is left:\n%s", o.stderr)
	}
	back()
	do(2, "migrate")
	if got, want := describe(serve(t, srv)["INBOX"]), []string{`1 \Flagged,\Seen 22`, "2  33"}; !slices.Equal(got, want) {
		t.Errorf("INBOX has %q, want %q", got, want)
	}
}

// TestSettingsChangedAfterMailCameLater: the same, where a later pass was killed while it wrote.
func TestSettingsChangedAfterMailCameLater(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1))
	c.pass(0, c.migrate()...)
	c.write("var/mail/joe", letter(1)+letter(2))
	c.killAt("write", c.box("2."), c.migrate("--quiet")...)
	useCyrus(t, c.srv, appendMail)
	back := moveMeta(t, c.srv)
	if o := c.pass(2, c.migrate()...); len(o.problems("cut-off")) != 1 {
		t.Errorf("migrate tells of no mailbox that is left:\n%s", o.stderr)
	}
	back()
	if got, want := describe(serve(t, c.srv)["INBOX"]), []string{"1  22", "2  33"}; !slices.Equal(got, want) {
		t.Errorf("INBOX has %q, want %q", got, want)
	}
}

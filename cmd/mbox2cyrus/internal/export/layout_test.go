package export

import (
	"io"
	"slices"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/reconstruct"
)

func layOutOf(names ...string) []string {
	var entries []reconstruct.Entry
	for _, name := range names {
		entries = append(entries, reconstruct.Entry{Name: name})
	}
	x := &Exporter{Cyrus: &target.Cyrus{}, Report: report.New(report.Options{Stdout: io.Discard, Stderr: io.Discard})}
	var laid []string
	for _, p := range x.layOut("joe", entries) {
		laid = append(laid, strings.TrimSpace(p.path+" "+p.dir))
	}
	return laid
}

// TestLayOut lays out a tree in which what is below a mailbox is not always behind it.
func TestLayOut(t *testing.T) {
	have := layOutOf("user.joe", "user.joe.a", "user.joe.a-b", "user.joe.a-b.c", "user.joe.a.b", "user.joe.ab", "user.joe.x.y")
	// No mailbox is there, so none is known to be empty.
	want := []string{"INBOX", "mail/a.mbox mail/a", "mail/a-b.mbox mail/a-b", "mail/a-b/c", "mail/a/b", "mail/ab", "mail/x/y"}
	if !slices.Equal(have, want) {
		t.Errorf("have %q\nwant %q", have, want)
	}
}

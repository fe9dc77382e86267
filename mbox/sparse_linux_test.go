package mbox

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSparse: a file of mail with terabytes of holes is told, not read for hours; one with a few
// megabytes is read as UW reads it, and one that is no mail is none for all its size.
func TestSparse(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.file("home/alice/.mh_profile", "Path: Mail\n")
	for name, size := range map[string]int64{"mail/large": 4 << 40, "mail/small": 4 << 20, "mail/image": 4 << 40, "Mail/a/1": 0, "Mail/a/2": 4 << 40} {
		content := oneMessage
		if name == "mail/image" {
			content = "no mail"
		}
		h.file("home/alice/"+name, content)
		if size == 0 {
			continue
		}
		if err := os.Truncate(h.path("home/alice/"+name), size); err != nil {
			t.Skipf("no such file can be made here: %v", err)
		}
	}
	// Data behind the hole changes nothing.
	f, err := os.OpenFile(h.path("home/alice/mail/large"), os.O_APPEND|os.O_WRONLY, 0)
	h.must(err)
	_, err = f.WriteString("\n" + oneMessage)
	h.must(err)
	h.must(f.Close())
	h.own("home/alice", 1)
	start := time.Now()
	host := h.open(HostOptions{})
	tree, err := host.Folders(alice)
	h.must(err)
	var got []string
	for _, s := range tree.Skipped {
		got = append(got, fmt.Sprintf("%s: %s %t", s.Path, s.Kind, s.MayHoldMail))
	}
	for _, f := range tree.Folders {
		messages, mb := served(t, host, alice, f)
		got = append(got, fmt.Sprintf("%s %d", f.Name, len(messages)))
		if f.Name == "mh/a" && mb.Account()[ReasonDamage] != 4<<40 {
			t.Errorf("%s: %v", f.Name, mb.Account())
		}
	}
	slices.Sort(got)
	checkEqual(t, "what there is", got, []string{"home/alice/mail/image: not-a-folder false", "home/alice/mail/large: sparse true", "mh/a 1", "small 1"})
	if spent := time.Since(start); spent > time.Minute {
		t.Errorf("it took %v", spent)
	}
	for _, s := range tree.Skipped {
		if s.Kind == SkipSparse && !strings.Contains(s.Text, "are holes") {
			t.Error(s.Text)
		}
	}
}

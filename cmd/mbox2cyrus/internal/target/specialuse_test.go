package target

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// TestSpecialUseOfLongList: users get the same special uses where Cyrus's program is given a
// list of their mailboxes alone, and those who had mailboxes before keep what they have.
func TestSpecialUseOfLongList(t *testing.T) {
	short, long := specialUses(t, 1<<40), specialUses(t, 0)
	if short != long {
		t.Errorf("with the list of all:\n%s\nwith one of their own:\n%s", short, long)
	}
	for _, want := range []string{`(?m)^user\.ann\.Old\W.*\\sent`, `(?m)^user\.joe\.Sent\W.*\\sent`, `(?m)^user\.kim\.Trash\W.*\\trash`,
		`^kept \[user\.ann\.Sent user\.kim\.(Old|Sent)]`} {
		if !regexp.MustCompile(want).MatchString(long) {
			t.Errorf("no %s in\n%s", want, long)
		}
	}
}

// specialUses gives special uses to two users who had mailboxes before and to two who are
// new, and returns what was kept and what the annotations are then.
func specialUses(t *testing.T, longList int64) string {
	t.Helper()
	c, _ := alone(t)
	c.longList = longList
	uses := map[cyrusspool.Name]string{}
	enter := func(users ...string) (entries []reconstruct.Entry) {
		t.Helper()
		for _, user := range users {
			inbox := cyrusspool.InboxName(user)
			for _, folder := range []cyrusspool.Name{"", ".Old", ".Sent", ".Trash"} {
				if err := c.Programs.Create(t.Context(), c.Partition, (inbox + folder).External(c.Rules.Separator())); err != nil {
					t.Fatal(err)
				}
			}
			uses[inbox+".Sent"], uses[inbox+".Trash"] = "sent", "trash"
		}
		list, _, err := c.Programs.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(list, func(e reconstruct.Entry) bool { return !slices.Contains(users, cyrusspool.Name(e.Name).User()) })
	}
	enter("ann", "bob")
	_, err := c.SetSpecialUse(t.Context(), map[cyrusspool.Name]string{"user.ann.Old": "sent"}, nil)
	if errors.Is(err, ErrNoSpecialUse) {
		t.Skip(err)
	}
	if err := errors.Join(err, c.Refresh(t.Context())); err != nil {
		t.Fatal(err)
	}
	entered := enter("joe", "kim")
	uses["user.kim.Old"] = "sent" // two of one use: one of them gets it
	kept, err := c.SetSpecialUse(t.Context(), uses, entered)
	if err != nil || c.noCopies.Load() {
		t.Fatalf("%v; without copies: %v", err, c.noCopies.Load())
	}
	slices.Sort(kept)
	path, _ := c.pathOf(annotations)
	show := exec.CommandContext(t.Context(), filepath.Join(c.Programs.Dir, "cyr_dbtool"), "-C", c.IMAPDConf, path, c.settings["annotation_db"], "show")
	show.SysProcAttr = &syscall.SysProcAttr{Credential: c.Programs.Credential}
	said, err := show.Output()
	if err != nil {
		t.Fatal(err)
	}
	// Their keys are unique ids, from 3.6 on.
	all, _, err := c.Programs.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Name == "user.joe.Sent" && c.Fresh.ListForm == reconstruct.FormJSON {
			was := entered[slices.IndexFunc(entered, func(one reconstruct.Entry) bool { return one.Name == e.Name })]
			if noted := e.FolderModSeq != was.FolderModSeq; noted != (longList > 0) {
				t.Errorf("that the list of joe's mailboxes changed is noted: %v, where lists are long from %d bytes on", noted, longList)
			}
		}
		if e.UniqueID != "" {
			said = bytes.ReplaceAll(said, []byte(e.UniqueID), []byte(e.Name))
		}
	}
	lines := strings.Split(string(said), "\n")
	slices.Sort(lines)
	return fmt.Sprintf("kept %v%s", kept, strings.Join(lines, "\n"))
}

package main

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestOneOfABatchFails: Cyrus's reconstruct takes several users at once, and ends at one of them.
// The others' mail arrives all the same, in that run; his does in the next.
func TestOneOfABatchFails(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.writeAs(0, "etc/passwd", "ann:x:1001:1001::/home/ann:/bin/sh\njoe:x:1001:1001::/home/joe:/bin/sh\nkim:x:1001:1001::/home/kim:/bin/sh\n")
	for i, user := range []string{"ann", "joe", "kim"} {
		h.write("var/mail/"+user, letter(1+10*i)+letter(2+10*i))
		h.write("home/"+user+"/mail/sent-mail", letter(3+10*i))
	}
	bin := filepath.Join(srv.Dir, "programs")
	wrapProgram(t, srv, bin, "reconstruct", "case \" $* \" in *' joe '*) exit 75; esac\n")
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	o := runJSON(t, append([]string{"migrate", "--jobs", "1", "--cyrus-bin", bin}, flags...)...) // one batch of all
	arrived := map[string]int{}
	for _, f := range o.lines {
		if f["message_type"] == "folder" && f["messages_verified"] == f["messages_found"] {
			arrived[f["user"].(string)]++
		}
	}
	if diff := cmp.Diff(map[string]int{"ann": 2, "kim": 2}, arrived); diff != "" || o.code != 1 || len(o.problems("user-failed")) != 1 {
		t.Errorf("exit code %d: %s\n%s", o.code, diff, o.stderr)
	}
	for _, p := range o.problems("reconstruct-complaint") {
		if p["user"] != "joe" {
			t.Errorf("%v", p)
		}
	}
	do := runWith(t, flags...)
	if sum := do(0, "migrate").summary(t); sum["folders"] != 6.0 || sum["folders_unchanged"] != 4.0 {
		t.Errorf("the next run: %v", sum)
	}
	do(0, "verify", "--level", "content")
}

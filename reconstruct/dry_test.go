package reconstruct

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A dry run tells of the very commands of a real one, and runs none.
func TestDry(t *testing.T) {
	p := fake(t, map[string]string{"ctl_mboxlist": "kill -SEGV $$", "reconstruct": "kill -SEGV $$", "mbpath": "kill -SEGV $$", "cvt_cyrusdb": "kill -SEGV $$"})
	var told []string
	dry := p.Dry(func(c Command) { told = append(told, c.String()) })
	ctx := t.Context()
	entries := []Entry{
		{Name: "user.joe", Partition: "default", Type: "0", ACL: []ACL{{"joe", "lrs"}}},
		{Name: "user.joe.a'b", Partition: "default", Type: "0", ACL: []ACL{{"joe", "lrs"}}},
	}
	if err := dry.Enter(ctx, FormLine, entries); err != nil {
		t.Fatal(err)
	}
	if paths, err := dry.Paths(ctx, []string{"user/joe", "user/joe/a'b"}); err != nil || len(paths) != 0 {
		t.Fatal(paths, err)
	}
	if _, err := dry.Reconstruct(ctx, Job{Users: []string{"joe"}}); err != nil {
		t.Fatal(err)
	}
	if err := dry.ConvertDB(ctx, "/a b/flat", "flat", "/seen", "skiplist"); err != nil {
		t.Fatal(err)
	}
	c := " -C " + p.Conf + " "
	want := []string{
		p.path("ctl_mboxlist") + c + "-u <<'END'\nuser.joe\t0 default joe\tlrs\t\nuser.joe.a'b\t0 default joe\tlrs\t\nEND",
		p.path("mbpath") + c + `-j -7 -- user/joe 'user/joe/a'\''b'`,
		p.path("reconstruct") + c + "-u -- joe",
		p.path("cvt_cyrusdb") + c + "-- '/a b/flat' flat /seen skiplist",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	if err := p.Enter(ctx, FormLine, entries); err == nil {
		t.Error("the programs themselves were not run afterwards")
	}
}

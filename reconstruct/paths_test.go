package reconstruct

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// answer36 is what mbpath -j of 3.6.1 prints for one mailbox.
const answer36 = `{
  "archive": "/spool/uuid/4/w/4wmztkda",
  "data": "/spool/uuid/4/w/4wmztkda",
  "mbname": {
    "boxes": [
      "a"
    ],
    "intname": "user.joe.a",
    "localpart": "joe",
    "userid": "joe"
  },
  "meta": "/meta/uuid/4/w/4wmztkda",
  "user": {
    "conversations": "/conf/user/uuid/k/v/kv55/conversations.db",
    "counters": "/conf/user/uuid/k/v/kv55/counters.db",
    "dav": "/conf/user/uuid/k/v/kv55/dav.db",
    "seen": "/conf/user/uuid/k/v/kv55/seen.db",
    "sieve": "/sieve/uuid/k/v/kv55",
    "sub": "/conf/user/uuid/k/v/kv55/sub.db",
    "xapianactive": "/conf/user/uuid/k/v/kv55/xapianactive.db"
  },
  "xapian": {}
}
`

func TestPathsJSON(t *testing.T) {
	p := fake(t, map[string]string{"mbpath": `
[ "$3 $4" = "-j -7" ] || exit 1
echo "Invalid mailbox name: 'user/none'" >&2
echo "Invalid mailbox name: 'user/Zed' ('user/zed')" >&2
echo >&2
` + says(answer36) + "\nexit 65"})
	paths, err := p.Paths(t.Context(), []string{"user/none", "user/joe/a", "user/Zed"})
	want := map[string]Path{"user/joe/a": {
		Internal:      "user.joe.a",
		Data:          "/spool/uuid/4/w/4wmztkda",
		Meta:          "/meta/uuid/4/w/4wmztkda",
		Archive:       "/spool/uuid/4/w/4wmztkda",
		Seen:          "/conf/user/uuid/k/v/kv55/seen.db",
		Sub:           "/conf/user/uuid/k/v/kv55/sub.db",
		Counters:      "/conf/user/uuid/k/v/kv55/counters.db",
		Conversations: "/conf/user/uuid/k/v/kv55/conversations.db",
		Sieve:         "/sieve/uuid/k/v/kv55",
	}}
	if diff := cmp.Diff(want, paths); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// plain is mbpath of 2.4: option -m, no -j.
const plain = `
shift 2
root=/spool
while getopts qsm opt; do
	case $opt in
	m) root=/meta ;;
	q|s) ;;
	*) echo "usage: mbpath [-C <alt_config>] [-q] [-s] [-m] <mailbox name>..." >&2; exit 255 ;;
	esac
done
shift $((OPTIND - 1))
rc=0
for name; do
	case $name in
	user.joe*) echo $root/$(echo "$name" | tr . /) ;;
	*) echo "Invalid mailbox name: $name" >&2; rc=255 ;;
	esac
done
exit $rc`

func TestPathsPlain(t *testing.T) {
	p := fake(t, map[string]string{"mbpath": plain})
	paths, err := p.Paths(t.Context(), []string{"user.joe", "user.none", "user.joe.Sent"})
	want := map[string]Path{
		"user.joe":      {Data: "/spool/user/joe", Meta: "/meta/user/joe"},
		"user.joe.Sent": {Data: "/spool/user/joe/Sent", Meta: "/meta/user/joe/Sent"},
	}
	if diff := cmp.Diff(want, paths); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if paths, err := p.Paths(t.Context(), []string{"user.none"}); err != nil || len(paths) != 0 {
		t.Errorf("%v, %v", paths, err)
	}
}

// TestPathsAll: mbpath of 3.2 and 3.4 has no -j, and its -a names no mailbox.
func TestPathsAll(t *testing.T) {
	p := fake(t, map[string]string{"mbpath": `
[ "$3" = -a ] || { echo "usage: mbpath [-C <alt_config>] [-l] [-m] [-q] [-s] [-u] [-a] <mailbox name>..." >&2; exit 64; }
echo "Invalid mailbox name: user/none" >&2
for b in user/joe user/joe/Sent; do
	for k in Archive Data Meta; do echo "$k: /$k/$b"; done
	echo "Sieve: /sieve/j/joe"
	echo "User: /conf/user/j/joe"
done`})
	paths, err := p.Paths(t.Context(), []string{"user/joe", "user/none", "user/joe/Sent"})
	want := map[string]Path{}
	for _, name := range []string{"user/joe", "user/joe/Sent"} {
		want[name] = Path{Archive: "/Archive/" + name, Data: "/Data/" + name, Meta: "/Meta/" + name, Sieve: "/sieve/j/joe", UserDir: "/conf/user/j/joe"}
	}
	if diff := cmp.Diff(want, paths); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestPathsWithoutMeta: mbpath up to 2.2 knows one directory of a mailbox.
func TestPathsWithoutMeta(t *testing.T) {
	p := fake(t, map[string]string{"mbpath": `
case $3 in -[jam]) echo "usage: mbpath [-C <alt_config>] [-q] [-s] <mailbox name>..." >&2; exit 255 ;; esac
shift 3
for name; do echo "/spool/$name"; done`})
	paths, err := p.Paths(t.Context(), []string{"a", "b"})
	want := map[string]Path{"a": {Data: "/spool/a", Meta: "/spool/a"}, "b": {Data: "/spool/b", Meta: "/spool/b"}}
	if diff := cmp.Diff(want, paths); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestPathsErrors(t *testing.T) {
	for name, tt := range map[string]struct{ script, want string }{
		"crash":           {"kill -SEGV $$", "signal 11"},
		"fatal":           {"echo 'fatal error: no partition' >&2; exit 75", "no partition"},
		"too few answers": {"exit 0", `said nothing of "user/joe"`},
		"too many":        {says(answer36 + answer36), "2 answers for 1"},
		"remote":          {says(`{"data": "back2!default", "meta": "back2!default"}` + "\n"), "no directory"},
		"cut off":         {says(`{"data": "/spool"` + "\n"), "unexpected EOF"},
		"much":            {"yes | head -c 40000000", "more than"},
		"words, exit 0":   {"echo 'Mailbox has no uniqueid, needs reconstruct: user.joe' >&2; exit 0", "needs reconstruct"},
	} {
		p := fake(t, map[string]string{"mbpath": tt.script})
		paths, err := p.Paths(t.Context(), []string{"user/joe"})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v", name, paths, err)
		}
	}
	p := fake(t, nil)
	if _, err := p.Paths(t.Context(), []string{"user/*"}); err == nil {
		t.Error("a pattern was taken for a name")
	}
}

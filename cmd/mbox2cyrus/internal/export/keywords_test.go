package export

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListKeywords(t *testing.T) {
	many := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprint("k", i)
	}
	used := make([]int64, 40)
	for i := 5; i < 38; i++ { // 33 of them
		used[i] = int64(i)
	}
	k := listKeywords(many, used)
	if diff := cmp.Diff(many[5:35], k.names); diff != "" {
		t.Errorf("names: %s", diff)
	}
	if len(k.lost) != 3 || k.lost[0] != (lostKeyword{"k35", 35}) {
		t.Errorf("lost: %+v", k.lost)
	}
	if got := k.of([4]uint32{1<<4 | 1<<6 | 1<<5, 1 << 5}); !cmp.Equal(got, []string{"k5", "k6"}) {
		t.Errorf("of: %q", got)
	}

	long := strings.Repeat("x", 51)
	k = listKeywords([]string{"a", "", long, "b"}, []int64{1, 0, 2, 0})
	if diff := cmp.Diff([]string{"a", "b"}, k.names); diff != "" {
		t.Errorf("names: %s", diff)
	}
	if diff := cmp.Diff([]int{0, -1, -1, 1}, k.at); diff != "" {
		t.Errorf("at: %s", diff)
	}
	if len(k.lost) != 1 || k.lost[0].name != long {
		t.Errorf("lost: %+v", k.lost)
	}
}

func TestFileName(t *testing.T) {
	for _, tt := range []struct {
		component string
		slash     bool
		want      string
	}{
		{"Sent", true, "Sent"}, {"caf&AOk-", true, "caf&AOk-"}, {"v1^2", true, "v1.2"}, {"v1^2", false, "v1^2"},
		{"^", true, "_"}, {"^^", true, "__"}, {"^^^", true, "..."}, {"", true, "_"}, {"a/b\n\x00", false, "a_b__"}, {"..", false, "__"},
	} {
		if got := fileName(tt.component, tt.slash); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.component, got, tt.want)
		}
	}
}

func TestParseOwner(t *testing.T) {
	for s, want := range map[string]*Owner{"1000": {1000, -1}, "1000:100": {1000, 100}, "": nil, "joe": nil, "1:": nil, ":1": nil, "-1": nil, "1:-1": nil} {
		got, err := ParseOwner(s)
		if !cmp.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
}

package migrate

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mbox2cyrus/cyrusspool"
)

func TestPlaceKeywords(t *testing.T) {
	tests := []struct {
		name                  string
		names, existing, ours []string
		header, as            []string
		bits                  []int
		changed               int
	}{
		{"plain", []string{"$Forwarded", "NonJunk"}, nil, nil, []string{"$Forwarded", "NonJunk"}, []string{"$Forwarded", "NonJunk"}, []int{0, 1}, 0},
		{"behind what Cyrus gave the mailbox", []string{"Work"}, []string{"$Junk", "$Phish"}, nil, []string{"$Junk", "$Phish", "Work"}, []string{"Work"}, []int{2}, 0},
		{"one that Cyrus gave the mailbox, in another case", []string{"$junk", "Work"}, []string{"$Junk"}, nil, []string{"$Junk", "Work"}, []string{"$Junk", "Work"}, []int{0, 1}, 0},
		{"UW finds only the first of two that differ in case", []string{"a", "A"}, nil, nil, []string{"a"}, []string{"a", "a"}, []int{0, 0}, 0},
		{"a hole", []string{"one", "", "three"}, nil, nil, []string{"one", "three"}, []string{"one", "", "three"}, []int{0, -1, 1}, 0},
		{"no atoms", []string{"caf\xe9", "a(b", `\Foo`, "a\tb"}, nil, nil, []string{"caf_", "a_b", "_Foo", "a_b-2"}, []string{"caf_", "a_b", "_Foo", "a_b-2"}, []int{0, 1, 2, 3}, 4},
		{"NIL is none either", []string{"NIL", "NIL_", "nil", "NILS"}, nil, nil, []string{"NIL_-2", "NIL_", "nil_-3", "NILS"}, []string{"NIL_-2", "NIL_", "nil_-3", "NILS"}, []int{0, 1, 2, 3}, 2},
		{"a changed one never meets an unchanged one", []string{"a(b", "a_b"}, nil, nil, []string{"a_b-2", "a_b"}, []string{"a_b-2", "a_b"}, []int{0, 1}, 1},
		{"nor one that Cyrus gave the mailbox", []string{"a(b"}, []string{"A_B"}, nil, []string{"A_B", "a_b-2"}, []string{"a_b-2"}, []int{1}, 1},
		{"in a later pass what it was", []string{"a{b", "a(b"}, []string{"a_b", "a_b-2", "Own"}, []string{"a_b", "a_b-2"}, []string{"a_b", "a_b-2", "Own"}, []string{"a_b", "a_b-2"}, []int{0, 1}, 2},
		{"but not what an unchanged one is by now", []string{"a(b", "a_b"}, []string{"a_b"}, []string{"a_b"}, []string{"a_b", "a_b-2"}, []string{"a_b-2", "a_b"}, []int{1, 0}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := placeKeywords(tt.names, tt.existing, tt.ours)
			if diff := cmp.Diff(tt.header, k.header); diff != "" {
				t.Errorf("header: %s", diff)
			}
			if diff := cmp.Diff(tt.as, k.names); diff != "" {
				t.Errorf("names: %s", diff)
			}
			if diff := cmp.Diff(tt.bits, k.bits); diff != "" {
				t.Errorf("bits: %s", diff)
			}
			if len(k.changes) != tt.changed {
				t.Errorf("changes: %+v, want %d", k.changes, tt.changed)
			}
		})
	}
}

// TestPlaceKeywordsFull: a mailbox that has as many flags as it can takes no other one.
func TestPlaceKeywordsFull(t *testing.T) {
	existing := make([]string, cyrusspool.MaxUserFlags-1)
	for i := range existing {
		existing[i] = fmt.Sprintf("old%d", i)
	}
	k := placeKeywords([]string{"OLD5", "last", "more", "a(b", "old126", ""}, existing, nil)
	if len(k.header) != cyrusspool.MaxUserFlags || k.header[127] != "last" {
		t.Errorf("the header has %d flags: %q", len(k.header), k.header)
	}
	if diff := cmp.Diff([]string{"old5", "last", "", "", "old126", ""}, k.names); diff != "" {
		t.Errorf("names: %s", diff)
	}
	if diff := cmp.Diff([]int{5, 127, -1, -1, 126, -1}, k.bits); diff != "" {
		t.Errorf("bits: %s", diff)
	}
	if diff := cmp.Diff([]string{"more", "a(b"}, k.left); diff != "" {
		t.Errorf("left out: %s", diff)
	}
	if len(k.changes) != 0 {
		t.Errorf("changes: %+v of a keyword that is left out", k.changes)
	}
	if got, want := k.userFlags(1<<6-1), [4]uint32{1 << 5, 0, 0, 1<<30 | 1<<31}; got != want {
		t.Errorf("userFlags = %x, want %x", got, want)
	}
}

// TestPlaceKeywordsHoles: a mailbox that is full takes others in place of those that Cyrus
// removed.
func TestPlaceKeywordsHoles(t *testing.T) {
	existing := make([]string, cyrusspool.MaxUserFlags)
	for i := range existing {
		existing[i] = fmt.Sprintf("old%d", i)
	}
	existing[3], existing[100] = "", ""
	k := placeKeywords([]string{"old5", "one", "two", "more"}, existing, nil)
	if diff := cmp.Diff([]int{5, 3, 100, -1}, k.bits); diff != "" {
		t.Errorf("bits: %s", diff)
	}
	if len(k.header) != cyrusspool.MaxUserFlags || k.header[3] != "one" || k.header[100] != "two" {
		t.Errorf("the header has %d flags: %q", len(k.header), k.header)
	}
	if diff := cmp.Diff([]string{"more"}, k.left); diff != "" {
		t.Errorf("left out: %s", diff)
	}
}

func TestUserFlags(t *testing.T) {
	existing := make([]string, 31)
	for i := range existing {
		existing[i] = "x" + string(rune('A'+i))
	}
	k := placeKeywords([]string{"a", "", "b"}, existing, nil)
	// a is flag 31, the hole none, b is flag 32: the first of the second word.
	if got, want := k.userFlags(1|2|4), [4]uint32{1 << 31, 1, 0, 0}; got != want {
		t.Errorf("userFlags = %x, want %x", got, want)
	}
}

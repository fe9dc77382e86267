package target

import (
	"math/rand/v2"
	"strings"
	"testing"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// TestQuotasAsked compares what is found by looking names up with what looking at all finds.
func TestQuotasAsked(t *testing.T) {
	isAtOrAbove := func(above, name string) bool {
		rest, ok := strings.CutPrefix(name, above)
		return ok && (rest == "" || rest[0] == '.' || strings.HasSuffix(above, "!"))
	}
	parts := []string{"a", "ab", "a-", "a/", "a^", "b"}
	random := rand.New(rand.NewPCG(1, 2))
	name := func(deepest int) string {
		s := []string{"", "", "d.org!", "d-x.org!"}[random.IntN(4)]
		if deepest > 1 && random.IntN(10) == 0 {
			return strings.TrimSuffix(s+"user", "user"+strings.Repeat("x", random.IntN(2)))
		}
		s += "user"
		for range 1 + random.IntN(deepest) {
			s += "." + parts[random.IntN(len(parts))]
		}
		return s
	}
	for range 20000 {
		roots := map[cyrusspool.Name]reconstruct.Quota{}
		for range random.IntN(6) {
			if r := name(3); r != "" {
				roots[cyrusspool.Name(r)] = reconstruct.Quota{}
			}
		}
		q, inbox, box := NewQuotas(roots), name(1), name(3)
		own, shared, alike, root := false, false, false, ""
		for n := range roots {
			r := string(n)
			own = own || isAtOrAbove(inbox, r)
			shared = shared || r != inbox && isAtOrAbove(r, inbox)
			alike = alike || strings.HasPrefix(r, inbox) && !isAtOrAbove(inbox, r)
			if len(r) > len(root) && isAtOrAbove(r, box) {
				root = r
			}
		}
		gotOwn, gotShared := q.Of(cyrusspool.Name(inbox))
		if gotAlike, got := q.Alike(cyrusspool.Name(inbox)), string(q.RootOf(cyrusspool.Name(box))); gotOwn != own || gotShared != shared || gotAlike != alike || got != root {
			t.Fatalf("of %q, %q: own %v, shared %v, alike %v, want %v %v %v; the root of %q is %q, want %q",
				q.names, inbox, gotOwn, gotShared, gotAlike, own, shared, alike, box, got, root)
		}
	}
}

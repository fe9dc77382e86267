package target

import (
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// The probe notices settings with which Cyrus makes other records.
func TestAhead(t *testing.T) {
	for _, tt := range []struct {
		extra string
		told  string
	}{
		{"", "cyrus.cache is written"},
		{"boundary_limit: 8", "cyrus.cache is left to reconstruct: its record of message 7 is another"},
		{"maxheaderlines: 397", "cyrus.cache is left to reconstruct: its record of message 6 is another"},
		{"rfc2046_strict: yes", "cyrus.cache is left to reconstruct: its record of message 3 is another"},
	} {
		s := cyrustest.ForTest(t, cyrustest.Options{Extra: []string{tt.extra}})
		c, err := Open(t.Context(), Options{IMAPDConf: s.Conf})
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.Ahead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		said := a.String()
		if strings.Contains(said, "left to reconstruct: version ") {
			t.Skip(said) // a release whose records are not made
		}
		if !strings.HasPrefix(said, tt.told) || (a.CacheParser() != nil) != (tt.extra == "") {
			t.Errorf("%q: %s, want %s", tt.extra, said, tt.told)
		}
	}
	if a := NothingAhead("because"); a.CacheParser() != nil || a.String() != "cyrus.cache is left to reconstruct: because" {
		t.Errorf("nothing: %s", a)
	}
}

package cyrusspool

import "testing"

func TestKeyword(t *testing.T) {
	for name, want := range map[string]string{"Work": "Work", "$Forwarded": "$Forwarded", "a b": "a_b", "caf\xe9": "caf_", `a"]`: "a__", "nil": "nil_", "NIL": "NIL_", "": ""} {
		if have := Keyword(name); have != want {
			t.Errorf("%q: %q, want %q", name, have, want)
		}
	}
}

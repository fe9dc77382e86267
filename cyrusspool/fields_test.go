package cyrusspool

import (
	"slices"
	"testing"
)

// TestFields names every field of a version once, with the value that the table of
// offsets has there.
func TestFields(t *testing.T) {
	for v := Version4; v <= newest; v++ {
		if !v.Known() {
			continue
		}
		h := IndexHeader{Version: v, LastUID: 77, UIDValidity: 1067811111, QuotaMailboxUsed: 4096}
		fields, err := h.Fields()
		if err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		for _, want := range []Field{{"last_uid", "77"}, {"uidvalidity", "1067811111"}, {"quota_mailbox_used", "4096"}} {
			if !slices.Contains(fields, want) {
				t.Errorf("version %d: no %v among %v", v, want, fields)
			}
		}
		r := Record{UID: 5, Size: 19, SystemFlags: FlagFlagged, UserFlags: [4]uint32{1, 0, 0, 0x80000000}, GUID: [20]byte{0xab, 19: 0xcd}}
		fields, err = r.Fields(v)
		if err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		wants := []Field{{"uid", "5"}, {"size", "19"}, {"system_flags", "2"}, {"user_flags", "00000001 00000000 00000000 80000000"}}
		if v.HasGUID() {
			wants = append(wants, Field{"guid", "ab000000000000000000000000000000000000cd"})
		}
		for _, want := range wants {
			if !slices.Contains(fields, want) {
				t.Errorf("version %d: no %v among %v", v, want, fields)
			}
		}
		names := map[string]bool{}
		for _, f := range fields {
			if names[f.Name] {
				t.Errorf("version %d: %s twice", v, f.Name)
			}
			names[f.Name] = true
		}
	}
}

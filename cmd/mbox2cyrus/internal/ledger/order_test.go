package ledger

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOrder(t *testing.T) {
	for _, tt := range []struct{ in, want []uint32 }{
		{nil, nil},
		{[]uint32{5}, []uint32{5}},
		{[]uint32{1, 2, 9}, []uint32{1, 2, 9}},
		{[]uint32{8, 7}, []uint32{7, 8}},
		{[]uint32{8, 3, 7, 9, 10}, []uint32{3, 7, 8, 9, 10}},
		{[]uint32{8, 3, 7}, []uint32{3, 7, 8}},
	} {
		var got []uint32
		o := Order{Emit: func(m Message) error { got = append(got, m.UID); return nil }}
		for _, uid := range tt.in {
			if err := o.Add(Message{UID: uid}); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.Flush(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v: %s", tt.in, diff)
		}
	}
}

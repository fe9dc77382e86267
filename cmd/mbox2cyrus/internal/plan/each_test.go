package plan

import (
	"slices"
	"testing"
)

func TestInTurn(t *testing.T) {
	users := func(sizes ...int64) (us []*User) {
		for _, n := range sizes {
			us = append(us, &User{Bytes: n})
		}
		return us
	}
	for _, tt := range []struct {
		jobs     int
		in, want []int64
	}{
		{1, nil, nil},
		{1, []int64{5}, []int64{5}},
		{1, []int64{1, 2, 3, 4, 5}, []int64{5, 1, 4, 2, 3}},
		{2, []int64{3, 1, 5, 2, 4}, []int64{5, 4, 1, 3, 2}},
		{8, []int64{3, 1, 5, 2, 4}, []int64{5, 4, 3, 2, 1}},
	} {
		in := users(tt.in...)
		before := slices.Clone(in)
		var got []int64
		for _, u := range inTurn(in, tt.jobs) {
			got = append(got, u.Bytes)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%d jobs, %d: %d, want %d", tt.jobs, tt.in, got, tt.want)
		}
		if !slices.Equal(in, before) {
			t.Errorf("%d: the plan was changed", tt.in)
		}
	}
}

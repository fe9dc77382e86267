package cyrusspool

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A UIDSet is a set of UIDs, kept as ascending ranges with both ends included that
// do not touch, so that its size is that of its IMAP form "1:5,9" (RFC 3501,
// sequence-set).
type UIDSet struct{ ranges uidRanges }

// Add adds a UID that is above all others in the set.
func (s *UIDSet) Add(uid uint32) { s.ranges.add(uid) }

// Contains reports whether the UID is in the set.
func (s UIDSet) Contains(uid uint32) bool { return s.ranges.contains(uid) }

// Below returns the UIDs of the set that are below the limit.
func (s UIDSet) Below(limit uint32) UIDSet {
	var below UIDSet
	for _, r := range s.ranges {
		if r[0] >= limit {
			break
		}
		below.ranges = append(below.ranges, [2]uint32{r[0], min(r[1], limit-1)})
	}
	return below
}

func (s UIDSet) String() string {
	var b strings.Builder
	for i, r := range s.ranges {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(uint64(r[0]), 10))
		if r[1] != r[0] {
			b.WriteString(":" + strconv.FormatUint(uint64(r[1]), 10))
		}
	}
	return b.String()
}

// ParseUIDSet reads "1:5,9". The empty string is the empty set. Ranges may come in
// any order and overlap.
func ParseUIDSet(text string) (UIDSet, error) {
	if text == "" {
		return UIDSet{}, nil
	}
	var ranges uidRanges
	for part := range strings.SplitSeq(text, ",") {
		first, last, found := strings.Cut(part, ":")
		if !found {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 32)
		if err != nil {
			return UIDSet{}, fmt.Errorf("set of UIDs: %w", err)
		}
		to, err := strconv.ParseUint(last, 10, 32)
		if err != nil {
			return UIDSet{}, fmt.Errorf("set of UIDs: %w", err)
		}
		if from == 0 || to == 0 {
			return UIDSet{}, fmt.Errorf("set of UIDs: %q holds 0", part)
		}
		ranges = append(ranges, [2]uint32{uint32(min(from, to)), uint32(max(from, to))})
	}
	slices.SortFunc(ranges, func(a, b [2]uint32) int { return cmp.Compare(a[0], b[0]) })
	var s UIDSet
	for _, r := range ranges {
		n := len(s.ranges)
		if n > 0 && uint64(r[0]) <= uint64(s.ranges[n-1][1])+1 {
			s.ranges[n-1][1] = max(s.ranges[n-1][1], r[1])
			continue
		}
		s.ranges = append(s.ranges, r)
	}
	return s, nil
}

package cyrusspool

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestRaiseIndex raises the indexes of real servers: only the header changes, and never
// goes back.
func TestRaiseIndex(t *testing.T) {
	indexes, err := filepath.Glob("testdata/golden/*/*/cyrus.index")
	more, err2 := filepath.Glob("testdata/golden/*/cyrus.index")
	if indexes = append(indexes, more...); err != nil || err2 != nil || len(indexes) == 0 {
		t.Fatal("no golden indexes", err, err2)
	}
	for _, path := range indexes {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		was, err := ParseIndexHeader(before)
		if err != nil {
			t.Fatal(path, err)
		}
		r, err := RaiseIndex(bytes.NewReader(before), was.LastUID+100, was.HighestModSeq+7)
		if err != nil {
			t.Fatal(path, err)
		}
		after, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(path, err)
		}
		is, err := ParseIndexHeader(after)
		if err != nil {
			t.Fatal(path, err)
		}
		size := was.Version.HeaderSize()
		if !bytes.Equal(before[size:], after[size:]) {
			t.Errorf("%s: records changed", path)
		}
		if is.LastUID != was.LastUID+100 || is.Exists != was.Exists || is.UIDValidity != was.UIDValidity {
			t.Errorf("%s: %+v", path, is)
		}
		if was.Version >= Version12 && (is.HighestModSeq != was.HighestModSeq+7 || is.DeletedModSeq != is.HighestModSeq) {
			t.Errorf("%s: modseq %d, deleted %d", path, is.HighestModSeq, is.DeletedModSeq)
		}
		if r, err = RaiseIndex(bytes.NewReader(before), 0, 0); err != nil {
			t.Fatal(path, err)
		}
		if after, err = io.ReadAll(r); err != nil {
			t.Fatal(path, err)
		}
		if is, err = ParseIndexHeader(after); err != nil || is.LastUID != was.LastUID || is.HighestModSeq != was.HighestModSeq {
			t.Errorf("%s: went back: %+v %v", path, is, err)
		}
	}
}

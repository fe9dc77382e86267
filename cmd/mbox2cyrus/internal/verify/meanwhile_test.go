package verify

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// TestChangedMeanwhile: what is read of an index before and after Cyrus wrote to it does not fit
// together. It is read again, and every message is told once. If it goes on, nothing is said of
// the mailbox but that.
func TestChangedMeanwhile(t *testing.T) {
	m := migrate(t)
	if v := m.verify(LevelIndex, false); v.said != "" {
		t.Fatal(v.said)
	}
	path := filepath.Join(m.dir, "cyrus.index")
	right := must(os.ReadFile(path))
	header := m.header
	header.Exists++
	wrong := append(must(header.AppendTo(nil)), right[header.Version.HeaderSize():]...)
	compare := func(text []byte, tell func()) (string, Result, error) {
		must(0, os.WriteFile(path, text, 0o600))
		var marks strings.Builder
		res, err := index(m.l, m.rec, m.place, nil, messages{tell: func(msg report.Message) {
			marks.WriteString(string(msg.Mark))
			tell()
		}})
		return marks.String(), res, err
	}
	if _, res, err := compare(wrong, func() {}); err != nil || len(res.Problems) == 0 {
		t.Errorf("nothing is found where nobody writes: %v", err)
	}
	told := 0
	marks, res, err := compare(wrong, func() {
		if told++; told == 1 {
			must(0, os.WriteFile(path, right, 0o600))
		}
	})
	if err != nil || len(res.Problems) > 0 || int64(len(marks)) != m.rec.Messages || res.Verified != m.rec.Messages {
		t.Errorf("it changed once: %v, %+v, marks %s", err, res, marks)
	}
	tries := 0
	_, err = whileQuiet(m.place, func() (Result, error) {
		tries++
		return Result{}, errors.Join(os.ErrInvalid, os.WriteFile(path, wrong[:len(wrong)-tries], 0o600))
	})
	if !errors.Is(err, errChanged) || !errors.Is(err, os.ErrInvalid) || tries != readTries {
		t.Errorf("it changes all the time: %v after %d times", err, tries)
	}
}

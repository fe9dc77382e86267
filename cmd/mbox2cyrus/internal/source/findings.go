package source

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/doubt"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/mbox"
)

// maxFindings is how many findings of one kind a folder can have one by one; what
// is beyond is counted. It bounds what a hostile folder makes us remember.
const maxFindings = 1000

// findings gathers what a reader finds in one folder.
type findings struct {
	problems []report.Problem
	kinds    map[string]int64
	told     map[string]int64   // of kinds, those that problems are for
	aside    func(mbox.Finding) // takes those about what is set aside; nil: they are like others
	amount   Amount             // of what is set aside
}

func (f *findings) add(found mbox.Finding) {
	if f.kinds == nil {
		f.kinds, f.told = map[string]int64{}, map[string]int64{}
	}
	kind := string(found.Kind)
	f.kinds[kind]++
	if found.Length > 0 || found.Refused {
		f.amount.Items++
		if !found.Refused { // else its bytes stay where they are
			f.amount.Bytes += found.Length
		}
		if f.aside != nil {
			f.aside(found)
			return
		}
	}
	if f.told[kind]++; f.told[kind] <= maxFindings {
		f.problems = append(f.problems, doubt.Problem(found))
	}
}

// result returns the findings in the order in which they were met, and for each
// kind of which there were too many one that stands for the rest.
func (f *findings) result() []report.Problem {
	for kind, n := range f.told {
		if more := n - maxFindings; more > 0 {
			p := doubt.Problem(mbox.Finding{Kind: mbox.Kind(kind), Offset: -1})
			p.Text, p.Count = fmt.Sprintf("%d more of this kind in this folder", more), more
			f.problems = append(f.problems, p)
		}
	}
	return f.problems
}

// locate gives the findings their line numbers, where file returns the text that
// a name stands for. Each file is read once more, up to the last finding in it.
func (f *findings) locate(file func(name string) *os.File) error {
	byFile := map[string][]*report.Problem{}
	for i := range f.problems {
		if p := &f.problems[i]; p.Offset >= 0 {
			byFile[p.File] = append(byFile[p.File], p)
		}
	}
	for name, problems := range byFile {
		text := file(name)
		if text == nil {
			continue
		}
		if err := locate(text, problems); err != nil {
			return fmt.Errorf("counting lines: %w", err)
		}
	}
	return nil
}

// countPiece is how many bytes locate reads at a time.
const countPiece = 64 << 10

// locate counts the LFs before each offset.
func locate(text io.ReaderAt, problems []*report.Problem) error {
	problems = slices.Clone(problems)
	slices.SortStableFunc(problems, func(a, b *report.Problem) int { return cmp.Compare(a.Offset, b.Offset) })
	last := problems[len(problems)-1].Offset
	buf := make([]byte, min(countPiece, last))
	line := int64(1)
	for at := int64(0); len(problems) > 0; {
		piece := buf[:min(int64(len(buf)), last-at)]
		n, err := text.ReadAt(piece, at)
		if n < len(piece) {
			if errors.Is(err, io.EOF) {
				return nil // the folder is shorter now, which is noticed elsewhere
			}
			if errors.Is(err, unix.EIO) {
				return nil // how many lines a part has that cannot be read, nobody knows
			}
			return err
		}
		end, counted := at+int64(n), 0
		for len(problems) > 0 && problems[0].Offset <= end {
			to := int(problems[0].Offset - at)
			line += int64(bytes.Count(piece[counted:to], []byte{'\n'}))
			counted = to
			problems[0].Line = line
			problems = problems[1:]
		}
		line += int64(bytes.Count(piece[counted:], []byte{'\n'}))
		at = end
	}
	return nil
}

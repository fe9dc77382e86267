package progress

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
)

// screen keeps lines at the bottom of a terminal up to date, with text that scrolls
// above them. It uses no colours, and of control sequences only "cursor up" and "erase
// below" (ECMA-48 CUU and ED).
type screen struct {
	w    io.Writer
	size func() (width, height int)

	mu    sync.Mutex
	shown []int // columns of each line that is on the terminal
	lines []string
}

// Write puts text above the lines. It must be whole lines.
func (s *screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.draw(text); err != nil {
		return 0, err
	}
	return len(text), nil
}

// set changes the lines.
func (s *screen) set(lines []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = lines
	return s.draw(nil)
}

// draw writes everything at once: what is half on the terminal flickers, and is torn
// where something else writes there.
func (s *screen) draw(text []byte) error {
	width, height := s.size()
	var b bytes.Buffer
	if rows := s.rows(width); rows > 0 {
		fmt.Fprintf(&b, "\r\x1b[%dA\x1b[J", rows)
	}
	b.Write(text)
	s.shown = s.shown[:0]
	for _, line := range fit(s.lines, height-1) {
		line, columns := cut(line, width-1)
		b.WriteString(line + "\n")
		s.shown = append(s.shown, columns)
	}
	_, err := s.w.Write(b.Bytes())
	return err
}

// rows is how many rows the lines take that are on the terminal. One that became
// narrower has wrapped them.
func (s *screen) rows(width int) (rows int) {
	for _, columns := range s.shown {
		rows += max(1, (columns+width-1)/width)
	}
	return rows
}

// fit leaves out lines in the middle, which are users, if there are more than height;
// the last line is the total.
func fit(lines []string, height int) []string {
	if len(lines) <= height || len(lines) == 0 {
		return lines
	}
	last := lines[len(lines)-1]
	if height < 3 {
		return []string{last}
	}
	fitting := append([]string{}, lines[:height-2]...)
	return append(fitting, fmt.Sprintf("  … and %d more", len(lines)-1-(height-2)), last)
}

// cut returns what of a line fits in width columns, and how many it takes. Every
// character beyond Latin is counted as two columns, as wide ones are: to be a little
// short is better than to wrap.
func cut(line string, width int) (string, int) {
	columns := 0
	for i, c := range line {
		w := 1
		if c >= 0x300 && c != '…' {
			w = 2
		}
		if columns+w > max(0, width) {
			return strings.TrimRight(line[:i], " "), columns
		}
		columns += w
	}
	return line, columns
}

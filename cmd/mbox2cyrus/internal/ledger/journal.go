package ledger

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Version of the journal's format, in its first line. docs/ledger.md describes it.
// Version 1, which is read too, had no undo: it lacks the states of one, and of
// its mailboxes it is not known what was there before.
const Version = 2

const oldestVersion = 1

// JournalName is the journal's file in a state directory.
const JournalName = "ledger.jsonl"

// line is one line of the journal, which says one of these.
type line struct {
	Ledger  int      `json:"ledger,omitempty"`
	Run     *Run     `json:"run,omitempty"`
	Mailbox *Mailbox `json:"set,omitempty"`
	End     *End     `json:"end,omitempty"`

	Subscriptions *Subscriptions `json:"subscriptions,omitempty"`
	Approval      *Approval      `json:"approved,omitempty"`
}

// read loads the journal and returns the length of its undamaged part.
func (l *Ledger) read(path string) (good int64, err error) {
	defer func() {
		if err == nil && good == 0 && l.journal != nil {
			if err = BeginsTorn(l.journal); err != nil {
				err = fmt.Errorf("ledger: %w", err)
			}
		}
	}()
	l.boxes, l.subs, l.approved = mailboxes{}, map[RawName]Subscriptions{}, map[string]approvedBy{}
	l.made, l.gone, l.quotas, l.undone = map[MadeDir]bool{}, nil, map[RawName]bool{}, map[RawName]time.Time{}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ledger: %w", err)
	}
	l.journal = f
	var block []parsed
	for n, br := 1, bufio.NewReaderSize(f, 1<<16); ; {
		var rerr error
		block, rerr = readBlock(br, block)
		last := rerr == io.EOF || rerr == io.ErrUnexpectedEOF
		if rerr != nil && !last {
			return 0, fmt.Errorf("ledger %s: line %d: %w", path, n+len(block), rerr)
		}
		parse(block)
		for i := range block {
			p := &block[i]
			if p.err != nil && rerr == io.EOF && i == len(block)-1 {
				return good, nil // torn
			}
			if p.err != nil {
				return 0, fmt.Errorf("ledger %s: line %d at offset %d is damaged: %w", path, n, good, p.err)
			}
			at := span{good, len(p.text)}
			if err := l.take(&p.line, at, n == 1); err != nil {
				return 0, fmt.Errorf("ledger %s: line %d: %w", path, n, err)
			}
			good += int64(len(p.text))
			n++
		}
		if last {
			return good, nil
		}
	}
}

// longestFirstLine is more than the first line of a journal has, which tells its version.
const longestFirstLine = 32

// BeginsTorn is an error if more is in a journal without one whole line than a crash leaves of its
// first, which is on the disk before the next is written: as if nothing had been recorded, whatever
// it was would be forgotten.
func BeginsTorn(f *os.File) error {
	info, err := f.Stat()
	if err == nil && info.Size() > longestFirstLine {
		err = fmt.Errorf("line 1 at offset 0 is damaged, and none of its %d bytes can be read", info.Size())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
}

// take takes what the line at a place of the journal says.
func (l *Ledger) take(ln *line, at span, first bool) error {
	if first || ln.Ledger != 0 { // a later one: a newer program went on with the journal
		if ln.Ledger < oldestVersion || ln.Ledger > Version {
			return fmt.Errorf("version %d, this program reads %d to %d and writes %d", ln.Ledger, oldestVersion, Version, Version)
		}
		l.version = ln.Ledger
	}
	if ln.Mailbox != nil {
		l.put(ln.Mailbox, at)
	}
	if ln.Run != nil {
		l.began = ln.Run.Start
		l.migrate = ln.Run.SourceRoot != "" // undo has none
		l.cutOff = l.cutOff || l.migrate
		l.root = cmp.Or(ln.Run.SourceRoot, l.root)
		if len(ln.Run.Marks) > 0 {
			l.marks = ln.Run.Marks
		}
		l.zone = cmp.Or(ln.Run.Zone, l.zone)
	}
	if ln.End != nil {
		l.cutOff = l.cutOff && !l.migrate
		l.pace.learn(*ln.End)
	}
	if ln.Subscriptions != nil {
		l.putSubscriptions(*ln.Subscriptions)
	}
	if ln.Approval != nil {
		l.putApproval(*ln.Approval)
	}
	return nil
}

// parsed is a line of the journal.
type parsed struct {
	text []byte
	line line
	err  error
}

// blockLines is how many lines are parsed together, by as many processors as there are.
const blockLines = 1024

// readBlock reads the next lines, into the block that was parsed before. They are the last
// where the error is io.EOF, or io.ErrUnexpectedEOF if another follows without its end,
// which is torn.
func readBlock(br *bufio.Reader, block []parsed) ([]parsed, error) {
	block = slices.Grow(block[:0], blockLines)
	for n := range blockLines {
		text, err := readLine(br, block[:blockLines][n].text[:0])
		if err == io.EOF && len(text) > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return block, err
		}
		block = append(block, parsed{text: text})
	}
	if _, err := br.Peek(1); err == io.EOF {
		return block, io.EOF
	}
	return block, nil
}

// readLine appends the next line to text.
func readLine(br *bufio.Reader, text []byte) ([]byte, error) {
	for {
		piece, err := br.ReadSlice('\n')
		text = append(text, piece...)
		if err != bufio.ErrBufferFull {
			return text, err
		}
	}
}

// parse parses the lines of a block.
func parse(block []parsed) {
	var group sync.WaitGroup
	for piece := range slices.Chunk(block, blockLines/16) {
		group.Go(func() {
			for i := range piece {
				piece[i].err = json.Unmarshal(piece[i].text, &piece[i].line)
			}
		})
	}
	group.Wait()
}

// load returns what the last line about a mailbox says, from the journal if it is not kept.
func (l *Ledger) load(k *known) (Mailbox, error) {
	if k.box == nil {
		damaged := func(err error) (Mailbox, error) {
			return Mailbox{}, fmt.Errorf("ledger %s: line of %s at offset %d: %w", l.journal.Name(), k.name, k.at.offset, err)
		}
		text := make([]byte, k.at.length)
		if _, err := l.journal.ReadAt(text, k.at.offset); err != nil {
			return damaged(err)
		}
		var ln line
		if err := json.Unmarshal(text, &ln); err != nil {
			return damaged(err)
		}
		if ln.Mailbox == nil || ln.Mailbox.Name != k.name {
			return damaged(errors.New("the journal was changed while it was open"))
		}
		l.boxes.keep(k, ln.Mailbox)
	}
	return *k.box, nil
}

// write appends a line and syncs it to disk.
func (l *Ledger) write(ln line) error {
	_, err := l.append(true, ln)
	return err
}

// append appends lines and returns where they are.
func (l *Ledger) append(sync bool, lines ...line) (at []span, err error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	at = make([]span, len(lines)) // offsets in buf at first
	for i, ln := range lines {
		at[i].offset = int64(buf.Len())
		if err := enc.Encode(ln); err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
		at[i].length = buf.Len() - int(at[i].offset)
	}
	l.mu.Lock()
	for i := range at {
		at[i].offset += l.size
	}
	if err = AppendWhole(l.f, buf.Bytes()); err == nil {
		l.size += int64(buf.Len())
	} else if info, serr := l.f.Stat(); serr == nil {
		l.size = info.Size()
	}
	l.mu.Unlock()
	if err == nil && sync {
		err = l.disk.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return at, nil
}

// AppendWhole appends all of b, or nothing: where a disk was full for a moment, what comes next
// must not follow the beginning of a line.
func AppendWhole(f *os.File, b []byte) error {
	n, err := f.Write(b)
	if err == nil || n == 0 {
		return err
	}
	info, serr := f.Stat()
	if serr == nil {
		serr = f.Truncate(info.Size() - int64(n))
	}
	return errors.Join(err, serr)
}

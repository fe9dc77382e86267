package mbox

import (
	"bytes"
	"math"

	"mbox2cyrus/internal/plural"
)

// minRecordWindow is enough for a written record line with what is kept of the window
// before it.
const minRecordWindow = 192

// maxChain is how many records in a row are beyond doubt, wherever they lead.
const maxChain = 8

// recordAt parses the record line at pos, which need not be in memory. The window stays
// where it is.
func (r *recordReader) recordAt(pos int64) (record, bool, error) {
	n := int(min(maxRecordLine, r.size-pos))
	b := r.win.held(pos)
	if len(b) < n {
		b = r.side[:n]
		if err := readFull(r.win.src, b, pos); err != nil {
			return record{}, false, err
		}
	}
	rec, ok := r.format.parseRecord(b)
	return rec, ok, nil
}

// recordEnd returns where the record at pos ends: where its size says, if another record
// or the end of the file is there, as UW asks. Else bytes are missing in it, or something
// else follows it. Where records begin inside it that lead past its end, or past the end
// of the file, it ends before the first; else its size counts.
func (r *recordReader) recordEnd(pos int64, rec *record) (int64, error) {
	text := pos + rec.line
	end := r.size
	if rec.size <= r.size-text {
		end = text + rec.size
		ok, err := r.ends(end)
		if ok || err != nil {
			return end, err
		}
	}
	beyond := end
	if rec.size > r.size-text {
		beyond = 0 // the size is no help
	}
	found, _, err := r.search(text, end, beyond)
	return found, err
}

// ends reports whether a record line or the end of the file is at pos, or may be: what
// cannot be read says nothing against it.
func (r *recordReader) ends(pos int64) (bool, error) {
	if pos == r.size {
		return true, nil
	}
	_, ok, err := r.recordAt(pos)
	return ok || r.unreadableAt(pos), err
}

// unreadableAt reports whether a part of the record line at pos, which recordAt has seen,
// cannot be read.
func (r *recordReader) unreadableAt(pos int64) bool {
	return unreadable(r.win.src, pos, min(pos+maxRecordLine, r.size)) != nil
}

// passDamage passes over what is at r.pos, which is no record line, up to the next one
// that leads to another or to the end of the file.
func (r *recordReader) passDamage() error {
	end, cut, err := r.search(r.pos, r.size, 0)
	if err != nil {
		return err
	}
	if end == r.size && cut < end {
		end = cut // the last message is damaged too
	}
	nuls, err := r.onlyNULs(r.pos, end)
	if err != nil {
		return err
	}
	n := end - r.pos
	switch {
	case nuls && end == r.size:
		r.account[ReasonNULTail] += n
		r.find(KindNULTail, r.pos, 0, "%s at the end of the file, for which UW does not open it, removed", plural.Count(n, "NUL"))
	case nuls:
		r.account[ReasonNULHole] += n
		r.find(KindNULHole, r.pos, 0, "%s before a message, for which UW does not open the mailbox, removed", plural.Count(n, "NUL"))
	default:
		r.damage(r.pos, n, "%d bytes where a message should begin: they were put aside, UW does not open the mailbox", n)
	}
	r.pos = end
	return nil
}

func (r *recordReader) onlyNULs(pos, end int64) (bool, error) {
	for pos < end {
		b, err := r.win.from(pos, 1)
		if err != nil {
			return false, err
		}
		b = b[:min(int64(len(b)), end-pos)]
		if len(bytes.TrimLeft(b, "\x00")) > 0 {
			return false, nil
		}
		pos += int64(len(b))
	}
	return true, nil
}

// search looks between from and to for the first record line as UW writes it that leads
// somewhere (see leads), and returns to if there is none. cut is where the first one was
// whose message runs past the end of the file.
func (r *recordReader) search(from, to, beyond int64) (found, cut int64, err error) {
	cut = math.MaxInt64
	// A line that is not wholly in memory is found when the window has moved on.
	const behind = maxRecordLine
	for base := from; base < to; {
		b, err := r.win.from(base, 2*behind)
		if err != nil {
			return 0, 0, err
		}
		if rest := to - base + maxRecordLine; rest < int64(len(b)) {
			b = b[:rest]
		}
		for i := 0; ; i++ {
			n := bytes.IndexByte(b[i:], ';')
			if n < 0 {
				break
			}
			i += n
			before, ok := r.format.writtenRecord(b, i)
			pos := base + int64(i-before)
			if !ok || pos >= to {
				continue
			}
			ok, past, err := r.leads(pos, beyond)
			if err != nil {
				return 0, 0, err
			}
			if ok {
				return pos, cut, nil
			}
			if past {
				cut = min(cut, pos)
			}
		}
		if base+int64(len(b)) >= r.size {
			break
		}
		base += int64(len(b)) - behind
	}
	return to, cut, nil
}

// leads follows the records from pos on. They lead somewhere if one of them ends at or
// behind beyond, where another begins or the file ends, or if they are many. past reports
// that the message at pos runs past the end of the file.
func (r *recordReader) leads(pos, beyond int64) (ok, past bool, err error) {
	for n := range maxChain {
		rec, ok, err := r.recordAt(pos)
		if !ok || err != nil {
			return n > 0 && pos >= beyond && r.unreadableAt(pos), false, err
		}
		text := pos + rec.line
		if rec.size > r.size-text {
			return false, n == 0, nil
		}
		if pos = text + rec.size; pos >= beyond || pos == r.size {
			ok, err := r.ends(pos)
			return ok, false, err
		}
	}
	return true, false, nil
}

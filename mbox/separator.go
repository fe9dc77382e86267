package mbox

import "mbox2cyrus/internal/plural"

// separator is what stands between two messages, before the first or after the last.
type separator struct {
	text    int64 // offset: where the text before it ends
	end     int64 // offset: where the message before it ends, with what closes it
	closing int64 // bytes that close it
	hole    int64 // NULs, which are no part of any message
	extra   int64 // bytes of separators that nothing lies between, likewise

	opens    bool // a message follows
	offset   int64
	header   int64 // offset of its header
	fromLine int64 // bytes from offset to header that are a From_ line
	stamp    stamp
}

// delimiter is what separates the messages of a file: that in which the formats differ
// that a Reader reads.
type delimiter interface {
	rules() delimiterRules
	// first finds what opens the first message. A file that does not begin as it must is a
	// *NotMailboxError.
	first(r *Reader) (separator, error)
	// reopen returns the separator of a message that is known to begin at offset.
	reopen(r *Reader, offset int64) (separator, error)
	// find returns the index, from index from on, of the byte before the next place in the
	// body text that may separate, or, if nul is set, of a LF that a NUL follows; else -1.
	find(text []byte, from int, nul bool) int
	// judge tells whether the place at offset, which find found, separates; if not, the
	// search goes on at next.
	judge(r *Reader, offset int64) (sep separator, found bool, next int64, err error)
	// afterNULs tells whether a separator follows the NULs from offset up to end.
	afterNULs(r *Reader, offset, end int64) (sep separator, found bool, err error)
	// inHeader looks for a separator in a line of a header, or in a piece of one, at
	// offset. The header goes on for n bytes at least; if found is set it is cut off there,
	// and if n is 0 then by sep.
	inHeader(r *Reader, offset int64, line []byte, starts, ends bool) (n int, sep separator, found bool, err error)
}

// delimiterRules are the plain differences.
type delimiterRules struct {
	dropsBlank bool  // a blank line at the end of a text belongs to the separator
	doubtful   bool  // what separates may be text
	closes     bool  // the last message is closed too
	fromCRs    int   // CRs that may be before the LF of a From_ line
	shortest   int64 // bytes that the shortest message has, or fewer
}

// candidate judges the place of a body at offset that may separate, or begins with a NUL.
// If it separates nothing, the search goes on at next.
func (r *Reader) candidate(offset int64, nul bool) (sep separator, found bool, next int64, err error) {
	if !nul {
		return r.delim.judge(r, offset)
	}
	end, err := r.nulsEnd(offset)
	if err != nil {
		return sep, false, 0, err
	}
	sep, found, err = r.delim.afterNULs(r, offset, end)
	return sep, found, end, err
}

// enterSeparator accounts for what of a separator belongs to no message.
func (r *Reader) enterSeparator(sep *separator) {
	if sep.hole > 0 {
		r.account[ReasonNULHole] += sep.hole
		r.find(KindNULHole, sep.text, "%s between messages, left by a rewrite that was cut short, removed", plural.Count(sep.hole, "NUL"))
	}
	if sep.extra > 0 {
		r.account[ReasonSeparator] += sep.extra
		r.find(KindStraySeparator, sep.text, "%d bytes of separators with nothing between them: no message", sep.extra)
	}
}

// ahead returns up to n bytes, at most goMboxPiece, at offset pos without moving the
// window. The slice is good until the next call.
func (r *Reader) ahead(pos int64, n int) ([]byte, error) {
	n = int(min(int64(n), r.win.end-pos))
	if b := r.win.held(pos); len(b) >= n {
		return b[:n], nil
	}
	if len(r.side) < n { // one byte is all that most folders need
		r.side = make([]byte, n)
	}
	if err := readFull(r.win.src, r.side[:n], pos); err != nil {
		return nil, err
	}
	return r.side[:n], nil
}

// nulsEnd returns the offset of the first byte from pos on that is not NUL.
func (r *Reader) nulsEnd(pos int64) (int64, error) {
	b := r.win.held(pos)
	for {
		for i, c := range b {
			if c != 0 {
				return pos + int64(i), nil
			}
		}
		if pos += int64(len(b)); pos == r.win.end {
			return pos, nil
		}
		var err error
		if b, err = r.ahead(pos, goMboxPiece); err != nil {
			return 0, err
		}
	}
}

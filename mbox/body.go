package mbox

import "bytes"

// bodyHold is how much of a body is kept back until what follows is known: a LF, a blank
// line and the beginning of "From ".
const bodyHold = 12

// readBody goes through the body of the message up to the next From_ line or the end of
// the file, gives it to the converter if write is set, and finds what ends it.
func (r *Reader) readBody(write bool) error {
	if r.headerCut {
		r.ended(r.headerEnd, r.walk.next, r.walk.cut)
		return nil
	}
	pos := r.msg.BodyOffset // of the first byte not yet handed on
	scan := pos - 1         // of the first LF not yet looked at
	for {
		base := pos - 1 // the byte before pos ends a line, the first time at least
		text, err := r.win.from(base, bodyHold+2)
		if err != nil {
			return err
		}
		for scan < base+int64(len(text)) {
			n := nextCandidate(text[scan-base:], r.win.nul)
			if n < 0 {
				break
			}
			scan += int64(n) + 1
			sep, found, next, err := r.candidate(scan, text[scan-base] == 0)
			if err != nil {
				return err
			}
			if found {
				end := sep.offset - sep.hole
				r.endBody(text[:end-base], pos, write)
				r.ended(end, sep, true)
				return nil
			}
			scan = next
		}
		end := base + int64(len(text))
		if end == r.win.end {
			r.endBody(text, pos, write)
			r.ended(end, separator{}, false)
			return nil
		}
		scan = max(scan, end-int64(len(fromPrefix)))
		r.hand(text[1:len(text)-bodyHold], write)
		pos = end - bodyHold
	}
}

var lineAndFrom = []byte("\nFrom ")

// nextCandidate returns the index of the first LF in text that "From " or a NUL follows.
func nextCandidate(text []byte, nul bool) int {
	if !nul {
		return bytes.Index(text, lineAndFrom)
	}
	for i := 0; ; i++ {
		n := bytes.IndexByte(text[i:], '\n')
		if n < 0 {
			return -1
		}
		i += n
		rest := text[i+1:]
		if len(rest) > 0 && rest[0] == 0 || bytes.HasPrefix(rest, fromPrefix) {
			return i
		}
	}
}

// candidate judges the line of a body at offset, which begins "From " or with a NUL. If
// it separates nothing, the search goes on at next.
func (r *Reader) candidate(offset int64, nul bool) (sep separator, found bool, next int64, err error) {
	if nul {
		end, err := r.nulsEnd(offset)
		if err != nil {
			return sep, false, 0, err
		}
		v, err := r.afterNULs(end)
		v.hole = end - offset
		return v.separator, v.valid, end, err
	}
	v, err := r.fromLineAt(offset, true)
	if err != nil {
		return sep, false, 0, err
	}
	r.gombox.line(v)
	if !v.valid {
		r.fromLines++
		if v.terminated {
			r.lookalike(offset)
		} else {
			r.find(KindTruncatedFromLine, offset, "the file ends inside a line that begins \"From \": part of this message")
		}
	}
	return v.separator, v.valid, offset, nil
}

// endBody hands on the end of a body but for its last line if that is blank: it belongs
// to the separator. text is preceded by one byte that is no part of it.
func (r *Reader) endBody(text []byte, pos int64, write bool) {
	blank := 0
	for n := 1; n <= r.maxCRs+1 && n < len(text); n++ {
		if rest := text[len(text)-n:]; text[len(text)-n-1] == '\n' && r.blank(rest) == n {
			blank = n
		}
	}
	r.bytes.separator += int64(blank)
	text = text[:len(text)-blank]
	r.hand(text[1:], write)
	if end := pos - 1 + int64(len(text)); end > r.msg.BodyOffset && text[len(text)-1] != '\n' {
		r.find(KindNoFinalNewline, end, "the last line has no line end; CRLF was added")
		if write {
			r.out.raw("\r\n")
		}
	}
}

// hand gives a piece of the body on.
func (r *Reader) hand(text []byte, write bool) {
	r.bytes.visible += int64(len(text))
	r.weigh(text)
	if write {
		r.out.text(text, !r.win.nul && !r.win.cr)
	}
}

// weigh counts the bytes that conversion changes.
func (r *Reader) weigh(text []byte) {
	if len(text) == 0 {
		return
	}
	if r.win.nul {
		r.nuls += bytes.Count(text, []byte{0})
	}
	if r.endsInCR && text[0] == '\n' {
		r.loneCRs--
	}
	r.endsInCR = text[len(text)-1] == '\r'
	if r.win.cr && r.maxCRs == 1 {
		r.loneCRs += bytes.Count(text, []byte{'\r'}) - bytes.Count(text, []byte("\r\n"))
	}
}

// ended closes the message, which ends at offset end, before the separator sep if there
// is one.
func (r *Reader) ended(end int64, sep separator, more bool) {
	m := &r.msg
	m.EndOffset = end
	if r.nuls > 0 {
		r.find(KindNUL, m.HeaderOffset, "%d NULs replaced by 0x80", r.nuls)
	}
	if r.loneCRs > 0 {
		r.find(KindLoneCR, m.HeaderOffset, "%d CRs that end no line removed", r.loneCRs)
	}
	if more && r.contentLength > uint64(end-m.BodyOffset) {
		r.find(KindContentLength, m.HeaderOffset, "Content-Length: %d reaches past the next From_ line; UW splits there", r.contentLength)
	}
	if sep.hole > 0 {
		r.account[ReasonNULHole] += sep.hole
		r.find(KindNULHole, end, "%d NULs before a From_ line, left by a rewrite that was cut short, removed", sep.hole)
	}
	r.account.enter(&r.bytes, r.drop)
	r.inMessage, r.current = false, 0
	r.sep, r.more = sep, more
}

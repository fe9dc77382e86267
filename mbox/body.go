package mbox

import (
	"bytes"

	"mbox2cyrus/internal/plural"
)

// bodyHold is how much of a body is kept back until what follows is known: a LF, a blank
// line and the beginning of "From ".
const bodyHold = 12

// readBody goes through the body of the message up to the next separator or the end of
// the file, gives it to the converter if write is set, and finds what ends it.
func (r *Reader) readBody(write bool) error {
	if r.headerCut {
		r.ended(r.walk.next)
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
			n := r.delim.find(text, int(scan-base), r.win.nul)
			if n < 0 {
				break
			}
			scan = base + int64(n) + 1
			sep, found, next, err := r.candidate(scan, text[n+1] == 0)
			if err != nil {
				return err
			}
			if found {
				r.endBody(text[:sep.text-base], pos, write)
				r.ended(sep)
				return nil
			}
			scan = next
		}
		end := base + int64(len(text))
		if end == r.win.end {
			r.endBody(text, pos, write)
			r.ended(r.endOfFile())
			return nil
		}
		scan = max(scan, end-int64(len(fromPrefix)))
		r.hand(text, len(text)-bodyHold, pos, write)
		pos = end - bodyHold
	}
}

// loseBytes puts aside the message, which sep ends and which has parts that cannot be
// read. Whatever follows these, up to the next separator, is of a message that is not
// known: it goes with it.
func (r *Reader) loseBytes(sep *separator) {
	m, end := &r.msg, sep.end
	sep.hole -= end - sep.text - sep.closing // NULs before what closes it
	r.account[ReasonNULHole] -= r.headerNULs
	r.account.enterLost(end-m.Offset, r.damaged)
	r.bytes = messageBytes{}
	if r.isFirst && !r.uids.known && unreadable(r.win.src, m.Offset, m.BodyOffset) != nil {
		r.baseUnreadable()
		r.reportUIDs()
	}
	if r.opts.Findings != nil {
		r.opts.Findings(lost("", m.Offset, end-m.Offset, r.current, "a message, with what follows up to the next one", r.damaged))
	}
}

// baseUnreadable gives up the UIDVALIDITY: the field that has it may be in a part that
// cannot be read.
func (r *Reader) baseUnreadable() {
	if r.uids.reason == "" {
		r.uids.reason = "it may be in a part of the file that cannot be read"
	}
}

// endOfFile is the separator that the end of the file is.
func (r *Reader) endOfFile() separator { return separator{text: r.win.end, end: r.win.end} }

// endBody hands on the end of a body but for its last line if that is blank and belongs
// to the separator. text is preceded by one byte that is no part of it.
func (r *Reader) endBody(text []byte, pos int64, write bool) {
	blank := 0
	for n := 1; r.rules.dropsBlank && n <= r.maxCRs+1 && n < len(text); n++ {
		if rest := text[len(text)-n:]; text[len(text)-n-1] == '\n' && r.blank(rest) == n {
			blank = n
		}
	}
	r.bytes.separator += int64(blank)
	text = text[:len(text)-blank]
	r.hand(text, len(text), pos, write)
	if end := pos - 1 + int64(len(text)); end > r.msg.BodyOffset && text[len(text)-1] != '\n' && unreadable(r.win.src, end-1, end) == nil {
		r.find(KindNoFinalNewline, end, "the last line has no line end; CRLF was added")
		if write {
			r.out.raw("\r\n")
		}
	}
}

// hand gives a piece of the body on: the bytes of text, from the second up to index n, of
// which pos is the offset. The first is that before them, those from n on follow.
func (r *Reader) hand(text []byte, n int, pos int64, write bool) {
	r.bytes.visible += int64(n - 1)
	r.weigh(text[1:n])
	from := 1
	if r.opts.Repairs.Has(RepairUnquote) {
		for {
			i := bytes.Index(text[from-1:], quotedFrom)
			if i < 0 || from+i >= n {
				break
			}
			if r.unquoted++; r.unquoted == 1 {
				r.unquotedAt = pos + int64(from+i-1)
			}
			if write {
				r.out.text(text[from:from+i], !r.win.nul && !r.win.cr)
			}
			from += i + 1
		}
	}
	if write {
		r.out.text(text[from:n], !r.win.nul && !r.win.cr)
	}
}

var quotedFrom = []byte("\n>From ")

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

// ended closes the message, which sep separates from the next one.
func (r *Reader) ended(sep separator) {
	m := &r.msg
	m.EndOffset = sep.end
	r.bytes.separator += sep.closing
	if r.nuls > 0 {
		r.find(KindNUL, m.HeaderOffset, "%s replaced by 0x80", plural.Count(r.nuls, "NUL"))
	}
	if r.loneCRs > 0 {
		what := "removed"
		if r.keepsCRs() {
			what = "kept, as UW 2002 does"
		}
		r.find(KindLoneCR, m.HeaderOffset, "%s at no line's end %s", plural.Count(r.loneCRs, "CR"), what)
	}
	if r.unquoted > 0 {
		r.find(KindRepairUnquote, r.unquotedAt, "the > before \"From \" was taken off in %s of the message, this the first", plural.Count(r.unquoted, "line"))
	}
	if r.rules.doubtful && sep.opens && r.contentLength > uint64(sep.end-m.BodyOffset) {
		r.find(KindContentLength, m.HeaderOffset, "Content-Length: %d reaches past the next From_ line; UW splits there", r.contentLength)
	}
	if r.rules.closes && !sep.opens && sep.closing == 0 {
		r.find(KindTruncated, sep.end, "the file ends without the separator that closes the last message: its end may be missing")
	}
	if r.damaged = unreadable(r.win.src, m.Offset, sep.end); r.damaged != nil {
		r.loseBytes(&sep)
	}
	r.enterSeparator(&sep)
	r.account.enter(&r.bytes, r.drop)
	r.inMessage, r.current = false, 0
	r.sep = sep
}

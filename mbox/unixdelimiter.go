package mbox

import "bytes"

var mailerDaemon = []byte("From MAILER-DAEMON ")

// fromVerdict is what became of a line that begins "From ".
type fromVerdict struct {
	offset, end int64 // of the line, and one past its LF
	valid       bool  // it is a From_ line
	loose       bool  // but not to UW
	terminated  bool  // it ends with a LF
	pieces      int64
	stamp       stamp
}

// separator is that of a From_ line which hole NULs precede.
func (v *fromVerdict) separator(hole int64) separator {
	return separator{text: v.offset - hole, end: v.offset - hole, hole: hole,
		opens: true, offset: v.offset, header: v.end, fromLine: v.end - v.offset, stamp: v.stamp}
}

// unixDelimiter separates the messages of the unix format: From_ lines.
type unixDelimiter struct{}

func (unixDelimiter) rules() delimiterRules {
	// No From_ line is shorter than 27 bytes in UW, nor than 24 with RepairLoose.
	return delimiterRules{dropsBlank: true, doubtful: true, fromCRs: 1, shortest: 24}
}

func (unixDelimiter) reopen(r *Reader, offset int64) (separator, error) {
	v, err := r.fromLineAt(offset, true)
	return v.separator(0), err
}

var lineAndFrom = []byte("\nFrom ")

// find finds a LF that "From " follows.
func (unixDelimiter) find(text []byte, from int, nul bool) int {
	if !nul {
		if n := bytes.Index(text[from:], lineAndFrom); n >= 0 {
			return from + n
		}
		return -1
	}
	for i := from; ; i++ {
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

func (unixDelimiter) judge(r *Reader, offset int64) (sep separator, found bool, next int64, err error) {
	v, err := r.fromLineAt(offset, true)
	if err != nil {
		return sep, false, 0, err
	}
	r.gombox.line(v)
	joined, err := r.joins(&v)
	switch {
	case err != nil:
		return sep, false, 0, err
	case joined:
		r.fromLines++
		r.find(KindRepairJoin, offset, "a From_ line whose date is impossible, and which no header field follows, is part of this message; UW begins another one here")
		return sep, false, offset, nil
	case !v.valid:
		r.fromLines++
		if v.terminated {
			r.lookalike(offset)
		} else {
			r.find(KindTruncatedFromLine, offset, "the file ends inside a line that begins \"From \": part of this message")
		}
		return sep, false, offset, nil
	case v.loose:
		r.find(KindRepairSplit, offset, "a From_ line with a zone or a day as UW does not know it ends this message; UW sees one message here")
	}
	return v.separator(0), true, 0, nil
}

func (unixDelimiter) afterNULs(r *Reader, offset, end int64) (sep separator, found bool, err error) {
	b, err := r.ahead(end, len(fromPrefix))
	if err != nil || !bytes.Equal(b, fromPrefix) {
		return sep, false, err
	}
	v, err := r.fromLineAt(end, false)
	if err != nil {
		return sep, false, err
	}
	joined, err := r.joins(&v)
	return v.separator(end - offset), v.valid && !joined, err
}

// inHeader finds nothing, as UW does not look for From_ lines in headers, unless
// RepairSplit is asked for, or what precedes cannot be read: the header may have ended
// there.
func (unixDelimiter) inHeader(r *Reader, offset int64, line []byte, starts, _ bool) (n int, sep separator, found bool, err error) {
	if !starts || line[0] != 'F' {
		return len(line), sep, false, nil
	}
	repair := r.opts.Repairs.Has(RepairSplit)
	if !repair && unreadable(r.win.src, r.msg.HeaderOffset, offset) == nil {
		return len(line), sep, false, nil
	}
	b, err := r.ahead(offset, len(fromPrefix))
	if err != nil || !bytes.Equal(b, fromPrefix) {
		return len(line), sep, false, err
	}
	v, err := r.fromLineAt(offset, true)
	if err != nil || !v.valid {
		return len(line), sep, false, err
	}
	joined, err := r.joins(&v)
	if err != nil || joined {
		return len(line), sep, false, err
	}
	r.gombox.line(v)
	if !repair {
		return 0, v.separator(0), true, nil
	}
	r.find(KindRepairSplit, offset, "a From_ line inside the header ends this message; UW sees one message here")
	return 0, v.separator(0), true, nil
}

// joins reports whether RepairJoin makes a From_ line part of the text: it has no possible
// date, and what follows does not look like a header.
func (r *Reader) joins(v *fromVerdict) (bool, error) {
	if !v.valid || v.stamp.valid || !r.opts.Repairs.Has(RepairJoin) {
		return false, nil
	}
	const longestName = 100 // longer field names do not occur in mail
	b, err := r.ahead(v.end, longestName)
	return !startsWithField(b), err
}

// startsWithField reports whether b begins with the name of a header field (RFC 5322 2.2)
// and a colon, with white space before it as RFC 822 allowed, or with the ">From " line
// that uucp left in headers.
func startsWithField(b []byte) bool {
	n := 0
	for n < len(b) && b[n] > ' ' && b[n] < 0x7f && b[n] != ':' {
		n++
	}
	rest := bytes.TrimLeft(b[n:], " \t")
	return n > 0 && len(rest) > 0 && rest[0] == ':' || bytes.HasPrefix(b, []byte(">From "))
}

// fromLineAt judges the line at offset, which begins "From ". Lines longer than
// goMboxPiece are read ahead, piece by piece, without moving the window.
//
// Where the "line" only follows NULs inside of another (lineStart is false), a NUL in it
// ends the search, so that all searches together stay as long as the file.
func (r *Reader) fromLineAt(offset int64, lineStart bool) (v fromVerdict, err error) {
	v.offset = offset
	b := r.win.held(offset)
	b = b[:min(len(b), goMboxPiece)]
	n, nul := 0, false
	if lineStart {
		n = bytes.IndexByte(b, '\n') + 1
	} else {
		n, nul = endOfLine(b)
	}
	switch {
	case nul:
		return v, nil
	case n > 0:
		v.terminated = true
		r.judge(&v, b[:n], offset+int64(n))
		return v, nil
	case offset+int64(len(b)) == r.win.end && len(b) < goMboxPiece:
		return v, nil
	}
	return r.longFromLine(v, lineStart)
}

func (r *Reader) judge(v *fromVerdict, line []byte, end int64) {
	v.end = end
	if f, ok := parseFromLine(line, r.fromCRs); ok {
		v.valid, v.stamp = true, parseStamp(line, f)
	} else if r.opts.Repairs.Has(RepairLoose) {
		v.stamp, v.valid = parseLooseFromLine(line, r.fromCRs)
		v.loose = v.valid
	}
}

// longFromLine reads a line that does not end in memory, in the pieces in which go-mbox
// reads it, and counts those that go-mbox takes for From_ lines.
func (r *Reader) longFromLine(v fromVerdict, lineStart bool) (fromVerdict, error) {
	var tail fromTail
	daemon, nul, split := false, false, true
	for pos := v.offset; pos < r.win.end; {
		b, err := r.ahead(pos, goMboxPiece)
		if err != nil {
			return v, err
		}
		if pos == v.offset {
			daemon = bytes.HasPrefix(b, mailerDaemon)
		} else if split = split && bytes.HasPrefix(b, fromPrefix); split {
			v.pieces++
		}
		n := bytes.IndexByte(b, '\n') + 1
		switch {
		case n > 0:
			b = b[:n]
		case len(b) == goMboxPiece && b[len(b)-1] == '\r':
			b = b[:len(b)-1] // bufio.Reader.ReadLine leaves it for the next piece
		}
		if nul = nul || bytes.IndexByte(b, 0) >= 0; nul && !lineStart {
			return v, nil
		}
		tail.add(b)
		pos += int64(len(b))
		if n > 0 {
			v.terminated = true
			if !nul {
				r.judge(&v, tail.line(), pos)
				v.stamp.fromMailerDaemon = daemon
			}
			return v, nil
		}
	}
	return v, nil
}

// endOfLine returns the index after the first LF of b, 0 if there is none, and whether a
// NUL comes before it. It looks at little more of b than that.
func endOfLine(b []byte) (n int, nul bool) {
	const step = 512
	for i := 0; i < len(b); i += step {
		chunk := b[i:min(i+step, len(b))]
		lf := bytes.IndexByte(chunk, '\n')
		if lf >= 0 {
			chunk = chunk[:lf]
		}
		if bytes.IndexByte(chunk, 0) >= 0 {
			return 0, true
		}
		if lf >= 0 {
			return i + lf + 1, false
		}
	}
	return 0, false
}

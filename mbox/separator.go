package mbox

import "bytes"

var mailerDaemon = []byte("From MAILER-DAEMON ")

// separator is a From_ line that starts a message.
type separator struct {
	offset, end int64 // of the line, and one past its LF
	hole        int64 // NULs directly before it, which are no part of any message
	stamp       stamp
}

// fromVerdict is what became of a line that begins "From ".
type fromVerdict struct {
	separator
	valid      bool
	terminated bool // it ends with a LF
	pieces     int64
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
	f, ok := parseFromLine(line, r.maxCRs)
	if ok {
		v.valid, v.end, v.stamp = true, end, parseStamp(line, f)
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

// ahead returns up to n bytes, at most goMboxPiece, at offset pos without moving the
// window. The slice is good until the next call.
func (r *Reader) ahead(pos int64, n int) ([]byte, error) {
	n = int(min(int64(n), r.win.end-pos))
	if b := r.win.held(pos); len(b) >= n {
		return b[:n], nil
	}
	if r.side == nil {
		r.side = make([]byte, goMboxPiece)
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

// afterNULs tells whether a From_ line follows the run of NULs that ends at offset.
func (r *Reader) afterNULs(offset int64) (fromVerdict, error) {
	b, err := r.ahead(offset, len(fromPrefix))
	if err != nil || !bytes.Equal(b, fromPrefix) {
		return fromVerdict{}, err
	}
	return r.fromLineAt(offset, false)
}

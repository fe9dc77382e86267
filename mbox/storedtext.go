package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"mbox2cyrus/internal/plural"
)

// storedText is the text of a message that is a stretch of a file and holds nothing of
// UW's: a message of mx, mh or mix. UW sends it as it is, with a CR before each LF that
// has none, and a NUL as 0x80 (mh.c mh_load_message, mx.c mx_header, mix.c mix_text;
// imapd.c ptext). A CR that is not before a LF stays.
//
// mx and mix are stored with CRLF, and there UW adds no CR. We do: a Cyrus mailbox must
// not hold a bare LF, and Cyrus finds the end of a header at CRLF CRLF only.
type storedText struct {
	// lf says that lines are meant to end with LF: none of them is a doubt.
	lf      bool
	find    func(Finding)
	account Account
	win     window
	out     converter
	head    []byte
	msg     *Message // nil: none is being read
	prefix  int64    // bytes before the header, of a record header
	copied  bool     // the text was read to its end
	damaged []span   // of a text that was read to its end, what cannot be read
	bareLFs int
	nuls    int
	last    byte // the byte before the next one
}

// begin reads the header of the message that is the bytes start to end of src and sets
// its offsets. prefix bytes before start are the message's too.
func (t *storedText) begin(src io.ReaderAt, m *Message, prefix, start, end int64) error {
	if need := min(windowSize, end-start); int64(len(t.win.buf)) < need {
		// Most messages are small; few need the largest window.
		t.win.buf = make([]byte, max(minWindowSize, min(windowSize, need+need/4)))
	}
	t.win.src, t.win.end, t.win.n = src, end, 0
	t.msg, t.prefix, t.copied = m, prefix, false
	t.bareLFs, t.nuls, t.last, t.damaged = 0, 0, 0, nil
	m.text, m.written = t, false
	m.Offset, m.HeaderOffset, m.EndOffset = start-prefix, start, 0
	var err error
	if m.BodyOffset, err = t.findBody(start, end); err != nil {
		return err
	}
	t.head = t.head[:0]
	for n := min(m.BodyOffset-start, maxHeader); int64(len(t.head)) < n; {
		b, err := t.win.from(start+int64(len(t.head)), 1)
		if err != nil {
			return err
		}
		t.head = append(t.head, b[:min(int64(len(b)), n-int64(len(t.head)))]...)
	}
	return nil
}

// findBody returns the offset after the first blank line, end if there is none: then all
// is header, as in UW.
func (t *storedText) findBody(start, end int64) (int64, error) {
	atLine := true
	for pos := start; pos < end; {
		b, err := t.win.from(pos, 2)
		if err != nil {
			return 0, err
		}
		switch {
		case !atLine:
		case b[0] == '\n':
			return pos + 1, nil
		case bytes.HasPrefix(b, []byte("\r\n")):
			return pos + 2, nil
		}
		n := bytes.IndexByte(b, '\n') + 1
		if atLine = n > 0; !atLine {
			n = len(b)
		}
		pos += int64(n)
	}
	return end, nil
}

func (t *storedText) header() []byte { return t.head }

// hidesInternal: a Status or X-UID field came with the mail.
func (t *storedText) hidesInternal() bool { return false }

func (t *storedText) writeTo(w io.Writer) (int64, error) {
	if t.msg == nil || t.copied {
		return 0, errors.New("message was passed already")
	}
	// Every byte may become two; few messages need the largest buffer.
	if need := min(outputSize, 2*(t.win.end-t.msg.HeaderOffset)+2); int64(cap(t.out.buf)) < need {
		t.out.buf = make([]byte, 0, need)
	}
	t.out.w, t.out.n, t.out.err, t.out.buf = w, 0, nil, t.out.buf[:0]
	if err := t.copy(true); err != nil {
		return t.out.n, err
	}
	if t.damaged != nil {
		t.out.w = nil
		return t.out.n, unreadableError(t.damaged)
	}
	t.out.flush()
	n, err := t.out.n, t.out.err
	t.out.w = nil
	return n, err
}

// end closes the message, if one is being read: its text is looked at, if that was not
// done, and it is accounted for.
func (t *storedText) end() error {
	if t.msg == nil {
		return nil
	}
	if !t.copied {
		if err := t.copy(false); err != nil {
			return err
		}
	}
	t.msg = nil
	return nil
}

// copy reads the text to its end.
func (t *storedText) copy(write bool) error {
	m := t.msg
	for pos := m.HeaderOffset; pos < t.win.end; {
		b, err := t.win.from(pos, 1)
		if err != nil {
			return err
		}
		t.hand(b, write)
		pos += int64(len(b))
	}
	t.copied = true
	m.EndOffset = t.win.end
	size := m.EndOffset - m.HeaderOffset
	if t.damaged = unreadable(t.win.src, m.Offset, m.EndOffset); t.damaged != nil {
		t.account.enterLost(t.prefix+size, t.damaged)
		t.find(lost(m.File, m.Offset, t.prefix+size, m.Number, "a message", t.damaged))
		return nil
	}
	t.account[ReasonRecordHeader] += t.prefix
	t.account[ReasonMessage] += size
	if size == 0 {
		t.report(KindHeaderCut, "the message is empty; it became one blank line, for Cyrus drops a message without bytes")
		if write {
			t.out.raw("\r\n")
		}
	}
	if t.bareLFs > 0 && !t.lf {
		t.report(KindBareLF, fmt.Sprintf("a CR was put before %s that had none", plural.Count(t.bareLFs, "LF")))
	}
	if t.nuls > 0 {
		t.report(KindNUL, plural.Count(t.nuls, "NUL")+" replaced by 0x80")
	}
	return nil
}

func (t *storedText) report(kind Kind, text string) {
	t.find(Finding{Kind: kind, File: t.msg.File, Offset: t.msg.HeaderOffset, Message: t.msg.Number, Text: text})
}

// hand weighs a piece of the text and gives it to the converter.
func (t *storedText) hand(b []byte, write bool) {
	nuls, bare := 0, bytes.Count(b, []byte{'\n'})
	if t.win.nul {
		nuls = bytes.Count(b, []byte{0})
	}
	if t.win.cr {
		bare -= bytes.Count(b, []byte("\r\n"))
	}
	if t.last == '\r' && b[0] == '\n' {
		bare--
	}
	if write {
		t.out.crlf(b, t.last, nuls == 0 && bare == 0)
	}
	t.nuls, t.bareLFs, t.last = t.nuls+nuls, t.bareLFs+bare, b[len(b)-1]
}

package mbox

// goMboxPiece is how much of a line go-mbox sees at once when it is given a
// *bufio.Reader of that size.
const goMboxPiece = 64 << 10

// goMbox counts messages by the rule of github.com/emersion/go-mbox v1.0.4: every line
// that begins "From " starts one.
type goMbox struct {
	count  int64
	refuse bool // go-mbox reads no message of this file
}

// line takes a line that begins "From ". Of a separator longer than a piece go-mbox
// forgets that the next piece continues a line, so that one may count as well.
func (g *goMbox) line(v fromVerdict) {
	if g.count++; g.count > 1 {
		g.count += v.pieces
	}
}

// PredictGoMbox returns how many messages github.com/emersion/go-mbox v1.0.4 counts in
// the file when it reads it through a *bufio.Reader of 64 KiB. It splits at every line
// that begins "From ", so it often counts more than UW shows. certain is false where it
// reads no message, or fails. The prediction is complete when Next has returned io.EOF.
func (r *Reader) PredictGoMbox() (count int64, certain bool) {
	return r.gombox.count, !r.gombox.refuse && unreadable(r.win.src, 0, r.size) == nil
}

// FromLines is the number of lines that begin "From " and are no separators.
func (r *Reader) FromLines() int64 { return r.fromLines }

// Separators is the number of From_ lines that start a message, a pseudo-message
// included.
func (r *Reader) Separators() int64 { return r.separators }

package mbox

import (
	"bytes"

	"mbox2cyrus/internal/plural"
)

type pieceKind uint8

const (
	visiblePiece  pieceKind = iota
	internalPiece           // of an internal header or its continuation
	blankPiece              // the blank line that ends the header
	holePiece               // NULs that end a line
	noPiece                 // the header is cut off: the file ends, or a separator follows
)

// headerPiece is a line of a header, or a part of one that is longer than the window.
type headerPiece struct {
	kind   pieceKind
	offset int64
	data   []byte // nil for holePiece
	size   int64
	starts bool // it begins a line
	ends   bool // it ends its line, with a LF unless the line is cut off
	nul    int  // index of the NUL that ends the field's name, -1 if none does
}

// cutOff reports whether the line ends here without a LF.
func (p *headerPiece) cutOff() bool { return p.ends && !bytes.HasSuffix(p.data, []byte("\n")) }

// headerWalk goes through a header, to parse it, and once more to write it if that takes
// more than to pass parts of it on, so that no header is too long.
type headerWalk struct {
	r      *Reader
	pos    int64
	stop   int64
	inLine bool
	inName bool
	hidden bool      // the line is internal
	solid  int64     // NULs before this offset are known not to be a hole
	known  bool      // stop is the end of the header: what cuts it off need not be looked for
	next   separator // after noPiece: the separator that cut the header off
	cut    bool      // next is set
}

// piece returns the next piece of the header: a line, or as much of one as the window holds. Its
// kind is noPiece where the header ends.
func (h *headerWalk) piece() (p headerPiece, err error) {
	p = headerPiece{kind: noPiece, offset: h.pos, starts: !h.inLine, nul: -1}
	b, err := h.view(minWindowSize)
	if err != nil || len(b) == 0 {
		return p, err
	}
	if n := h.r.blank(b); n > 0 && p.starts {
		return h.take(p, blankPiece, b[:n], true), nil
	}
	n := bytes.IndexByte(b, '\n') + 1
	if n == 0 && !h.r.win.full(b) {
		if b, err = h.view(len(h.r.win.buf)); err != nil {
			return p, err
		}
		n = bytes.IndexByte(b, '\n') + 1
	}
	ends := n > 0
	if ends {
		b = b[:n]
	}
	if h.r.win.nul {
		hole, size, err := h.hole(b)
		switch {
		case err != nil:
			return p, err
		case hole == 0 && size > 0 && h.inLine: // first the line, of which all was returned, ends
			return h.take(p, h.kind(), b[:0], true), nil
		case hole == 0 && h.cut:
			return p, nil
		case hole == 0 && size > 0:
			p.kind, p.size, p.ends = holePiece, size, true
			h.pos, h.inLine = h.pos+size, false
			return p, nil
		case size > 0:
			b, ends = b[:hole], true
		}
	}
	if !h.known {
		n, sep, found, err := h.r.delim.inHeader(h.r, h.pos, b, p.starts, ends)
		switch {
		case err != nil:
			return p, err
		case found && n == 0 && h.inLine: // as with a hole
			return h.take(p, h.kind(), b[:0], true), nil
		case found && n == 0:
			h.next, h.cut = sep, true
			return p, nil
		}
		b, ends = b[:n], ends || found
	}
	ends = ends || h.pos+int64(len(b)) == h.stop
	if p.starts {
		begin := h.r.beginning(b, ends)
		h.hidden = h.hidden && len(begin) > 0 && isBlank(begin[0]) || IsInternal(begin)
		h.inName = true
	}
	if h.inName && (h.r.win.nul || !ends) { // else the name has no NUL, and goes no further
		if i := h.r.nameEnd(b); i < len(b) {
			h.inName = false
			if b[i] == 0 {
				p.nul = i
			}
		}
	}
	return h.take(p, h.kind(), b, ends), nil
}

// kind is that of the line at pos.
func (h *headerWalk) kind() pieceKind {
	if h.hidden {
		return internalPiece
	}
	return visiblePiece
}

// view returns what is in memory of the header from pos on.
func (h *headerWalk) view(need int) ([]byte, error) {
	b, err := h.r.win.from(h.pos, need)
	return b[:min(int64(len(b)), h.stop-h.pos)], err
}

func (h *headerWalk) take(p headerPiece, kind pieceKind, b []byte, ends bool) headerPiece {
	p.kind, p.data, p.size, p.ends = kind, b, int64(len(b)), ends
	h.pos += p.size
	h.inLine = !ends
	return p
}

// hole finds the first NULs in b, which is at pos, that UW left behind when it died
// while it rewrote a header without an end: an internal header or a separator follows
// them. It returns their index and number, len(b) and 0 if there are none. When a
// separator follows and index is 0, cut is set.
func (h *headerWalk) hole(b []byte) (index int, size int64, err error) {
	i := int(min(max(h.solid-h.pos, 0), int64(len(b))))
	for {
		n := bytes.IndexByte(b[i:], 0)
		if n < 0 {
			return len(b), 0, nil
		}
		i += n
		start := h.pos + int64(i)
		end, err := h.r.nulsEnd(start)
		if err != nil {
			return 0, 0, err
		}
		sep, found, err := h.r.delim.afterNULs(h.r, start, end)
		if err != nil {
			return 0, 0, err
		}
		if found {
			if i == 0 {
				h.next, h.cut = sep, true
			}
			return i, end - start, nil
		}
		after, err := h.r.ahead(end, len("X-Keywords:"))
		if err != nil {
			return 0, 0, err
		}
		if isParsed(after) {
			return i, end - start, nil
		}
		h.solid = end
		if i = int(min(end-h.pos, int64(len(b)))); i == len(b) {
			return len(b), 0, nil
		}
	}
}

// nameEnd is the length of the field name at the beginning of b.
func nameEnd(b []byte) int {
	for i, c := range b {
		switch c {
		case ':', ' ', '\t', '\r', '\n', 0:
			return i
		}
	}
	return len(b)
}

// nameEnd is nameEnd without regard to the CRs that are taken out.
func (r *Reader) nameEnd(b []byte) int {
	n := nameEnd(b)
	for !r.keepsCRs() && n < len(b) && b[n] == '\r' {
		n++
		n += nameEnd(b[n:])
	}
	return n
}

// beginning is that of a header line, longer than the name of any internal field, as UW 2006
// and later look at it when they send the header: they take CRs out first (unix.c
// unix_header). So "Sta\rtus: RO" is not shown, though nothing obeys it, and "Status\rx: y"
// is. It is nil if so many CRs are in the name that it does not end in what every window
// holds; ends says that the line is all there.
func (r *Reader) beginning(line []byte, ends bool) []byte {
	ends = ends && len(line) <= minWindowSize
	line = line[:min(len(line), minWindowSize)]
	if !r.win.cr || r.keepsCRs() || bytes.IndexByte(line, '\r') < 0 {
		return line
	}
	r.squeezed = r.squeezed[:0]
	for _, c := range line {
		if c != '\r' {
			r.squeezed = append(r.squeezed, c)
		}
	}
	if !ends && nameEnd(r.squeezed) == len(r.squeezed) {
		return nil
	}
	return r.squeezed
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// blank returns the length of the blank line at the beginning of b, 0 if there is none.
func (r *Reader) blank(b []byte) int {
	for i, c := range b[:min(len(b), r.maxCRs+1)] {
		switch c {
		case '\n':
			return i + 1
		case '\r':
		default:
			return 0
		}
	}
	return 0
}

// maxInternalLine is how much of an internal header line is parsed.
const maxInternalLine = 1 << 20

// readHeader parses the header of the message that begins at r.msg.HeaderOffset.
func (r *Reader) readHeader() error {
	r.walk = headerWalk{r: r, pos: r.msg.HeaderOffset, stop: r.win.end}
	h := &r.walk
	r.head, r.visible = r.head[:0], visibleParts{spans: r.visible.spans[:0], all: true}
	r.continues, r.hasStatus, r.mozilla = "", false, mozillaStatus{}
	for {
		p, err := h.piece()
		if err != nil {
			return err
		}
		switch p.kind {
		case noPiece:
			r.headerCut, r.visible.all = true, false
			r.find(KindHeaderCut, h.pos, "the header ends without a blank line; one was added")
			r.msg.BodyOffset, r.headerEnd = h.pos, h.pos
			if !h.cut {
				h.next = r.endOfFile()
			}
			return nil
		case holePiece:
			r.account[ReasonNULHole] += p.size
			r.headerNULs += p.size
			r.find(KindNULHole, p.offset, "%s inside the header, left by a rewrite that was cut short, removed", plural.Count(p.size, "NUL"))
			continue
		}
		r.keepHeader(&p)
		if p.kind == internalPiece {
			r.bytes.internal += p.size
			if err := r.internalPiece(&p); err != nil {
				return err
			}
		} else {
			r.bytes.visible += p.size
			r.weigh(p.data)
			r.visible.add(&p)
		}
		if p.kind == blankPiece {
			r.msg.BodyOffset, r.headerEnd = h.pos, h.pos
			return nil
		}
		if p.starts {
			if err := r.headerLine(&p); err != nil {
				return err
			}
		}
	}
}

// visibleParts are those of a header that are written as they stand in the file, the blank
// line at its end too. all says that there is nothing else to be written.
type visibleParts struct {
	spans []span
	all   bool
}

// maxVisibleParts is enough for what mail programs do: internal fields stand together.
const maxVisibleParts = 16

func (v *visibleParts) add(p *headerPiece) {
	n := len(v.spans)
	switch {
	case p.nul >= 0 || p.cutOff():
		v.all = false
	case n > 0 && v.spans[n-1].to == p.offset:
		v.spans[n-1].to += p.size
	case n == maxVisibleParts:
		v.all = false
	default:
		v.spans = append(v.spans, span{p.offset, p.offset + p.size})
	}
}

// keepHeader adds a piece to what Message.Header returns.
func (r *Reader) keepHeader(p *headerPiece) {
	r.head = append(r.head, p.data[:min(len(p.data), maxHeader-len(r.head))]...)
	if p.cutOff() && len(r.head) < maxHeader {
		r.head = append(r.head, '\n')
	}
}

// lineBegin is how much of a header line is looked at for findings.
const lineBegin = 128

// headerLine looks at the beginning of a header line for what is worth a finding.
func (r *Reader) headerLine(p *headerPiece) error {
	first := r.rules.doubtful && p.offset == r.msg.HeaderOffset && !r.isFirst
	switch p.data[0] {
	case 'F', 'C', 'c', 'X', 'x':
	default:
		if !first {
			return nil
		}
	}
	b, err := r.ahead(p.offset, lineBegin)
	if err != nil {
		return err
	}
	line, _ := cutLine(b)
	if first && bytes.IndexByte(line, ':') < 0 {
		r.find(KindSuspiciousSplit, r.msg.Offset, "no header field follows the From_ line: it may be part of the message before")
	}
	switch line[0] {
	case 'F':
		if r.rules.doubtful && bytes.HasPrefix(line, fromPrefix) {
			return r.fromInHeader(p.offset)
		}
	case 'C', 'c':
		if value, ok := valueOf(line, "Content-Length:"); ok {
			if n, rest := number(bytes.TrimLeft(value, " \t")); len(rest) < len(value) {
				r.contentLength = n
			}
		}
	case 'X', 'x':
		if value, ok := valueOf(line, "X-Mozilla-Status:"); ok && r.opts.Repairs.Has(RepairMozilla) && !r.mozilla.found {
			r.mozilla = parseMozillaStatus(value, p.offset)
		}
	}
	return nil
}

// valueOf returns what follows a field name, in any case, with its colon.
func valueOf(line []byte, name string) (value []byte, ok bool) {
	if len(line) < len(name) || !bytes.EqualFold(line[:len(name)], []byte(name)) {
		return nil, false
	}
	return line[len(name):], true
}

// fromInHeader reports a line of a header that begins "From ".
func (r *Reader) fromInHeader(offset int64) error {
	v, err := r.fromLineAt(offset, true)
	if err != nil {
		return err
	}
	r.fromLines++
	r.gombox.line(v)
	if v.valid && !v.loose {
		r.find(KindFromInHeader, offset, "a From_ line inside the header: the blank line that ends the header is missing, the next message was swallowed")
	} else {
		r.lookalike(offset)
	}
	return nil
}

// writeHeader writes the header without internal lines and with a blank line at its end.
func (r *Reader) writeHeader() error {
	if !r.visible.all {
		return r.walkHeader()
	}
	for _, s := range r.visible.spans {
		for s.from < s.to {
			b, err := r.win.from(s.from, minWindowSize)
			if err != nil {
				return err
			}
			b = b[:min(int64(len(b)), s.to-s.from)]
			r.out.text(b, !r.win.nul && !r.win.cr)
			s.from += int64(len(b))
		}
	}
	return nil
}

// walkHeader is writeHeader for a header of which parts are to be changed.
func (r *Reader) walkHeader() error {
	h := headerWalk{r: r, pos: r.msg.HeaderOffset, stop: r.headerEnd, known: true}
	for {
		p, err := h.piece()
		if err != nil {
			return err
		}
		switch p.kind {
		case noPiece:
			r.out.raw("\r\n")
			return nil
		case blankPiece:
			r.out.text(p.data, false)
			return nil
		case visiblePiece:
			if plain := !r.win.nul && !r.win.cr; p.nul < 0 {
				r.out.text(p.data, plain)
			} else {
				r.out.text(p.data[:p.nul], plain)
				r.out.raw(" ")
				r.out.text(p.data[p.nul+1:], plain)
			}
			if p.cutOff() {
				r.out.raw("\r\n")
			}
		}
	}
}

package verify

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strconv"
	"sync"

	"github.com/emersion/go-message/textproto"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// headerLimit is how much of a header is given to go-message: as much as
// mbox.Message.Header returns.
const headerLimit = 256 << 10

// A messageFile is a message file to be compared with what the source gave just now, or
// when it was migrated.
type messageFile struct {
	want          ledger.Message
	fromSource    bool   // there is a header
	header        []byte // the source's
	hidesInternal bool

	wrong []complaint // what came of it
}

// complaint is something that is wrong with a message.
type complaint struct {
	kind faultKind
	text string
}

func (f *messageFile) complain(kind faultKind, format string, args ...any) {
	f.wrong = append(f.wrong, complaint{kind, fmt.Sprintf(format, args...)})
}

// fileReader reads message files of one mailbox. It is for one goroutine.
type fileReader struct {
	place    cyrusspool.Place
	dir      *os.File // of the messages; nil before the first is read
	firstUID uint32   // below it files may be missing: Index tells
	sum      hash.Hash
	buf      *[headerLimit]byte
}

// fileBuffers are those that wait for the next mailbox.
var fileBuffers = sync.Pool{New: func() any { return new([headerLimit]byte) }}

func newFileReader(place cyrusspool.Place, rec *ledger.Mailbox) *fileReader {
	return &fileReader{place: place, firstUID: rec.FirstUID, sum: sha1.New(), buf: fileBuffers.Get().(*[headerLimit]byte)}
}

// release ends the use of a reader.
func (r *fileReader) release() {
	if r.dir != nil {
		r.dir.Close() // opened for reading: nothing can be lost
	}
	fileBuffers.Put(r.buf)
	r.buf = nil
}

// open opens the file of a message.
func (r *fileReader) open(uid uint32) (f *os.File, err error) {
	if r.dir == nil {
		if r.dir, err = cyrusspool.OpenDir(r.place.Roots.Data, r.place.Dir); err != nil {
			return nil, err
		}
	}
	return cyrusspool.OpenFileAt(r.dir, strconv.FormatUint(uint64(uid), 10)+".")
}

// read reads the file and complains of what is wrong with it. A go-message parser, which
// shares nothing with our header filter, must find that only UW's internal fields are gone.
func (r *fileReader) read(m *messageFile) {
	m.wrong = m.wrong[:0]
	f, err := r.open(m.want.UID)
	if errors.Is(err, os.ErrNotExist) && m.want.UID < r.firstUID {
		return // removed in Cyrus since an earlier pass, or lost: the index has the word
	}
	if errors.Is(err, os.ErrNotExist) {
		m.complain(faultFileMissing, "its message file is missing")
		return
	}
	if err != nil {
		m.complain(faultFileUnreadable, "its message file cannot be read: %v", err)
		return
	}
	r.sum.Reset()
	n, err := io.ReadFull(f, r.buf[:])
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	head := r.buf[:n]
	r.sum.Write(head)
	if err == nil && m.fromSource {
		if reason := headerDiffers(m.header, head, m.hidesInternal); reason != "" {
			m.complain(faultHeader, "%s", reason)
		}
	}
	var more int64
	if err == nil && n == len(r.buf) {
		more, err = io.CopyBuffer(struct{ io.Writer }{r.sum}, struct{ io.Reader }{f}, r.buf[:])
	}
	if err := errors.Join(err, f.Close()); err != nil {
		m.complain(faultFileUnreadable, "its message file cannot be read: %v", err)
		return
	}
	var guid [20]byte
	r.sum.Sum(guid[:0])
	if guid != m.want.GUID {
		m.complain(faultContent, "its message file (%d bytes) is not what the source holds (%d bytes)", int64(n)+more, m.want.Size)
	}
}

// headerDiffers parses both headers with go-message and says what differs
// besides UW's internal fields, "" if nothing. A header that go-message cannot
// read is no evidence either way: the SHA-1 of the whole message has the word.
func headerDiffers(source, spool []byte, hidesInternal bool) string {
	if len(source) >= headerLimit || len(spool) >= headerLimit && !bytes.Contains(spool, []byte("\r\n\r\n")) {
		return ""
	}
	a, aerr := fields(source)
	b, berr := fields(spool)
	if aerr != nil || berr != nil {
		return ""
	}
	kept := a[:0]
	for _, field := range a {
		if !hidesInternal || !mbox.IsInternal(field) {
			kept = append(kept, asServed(field))
		}
	}
	if len(kept) != len(b) {
		return fmt.Sprintf("the header has %d fields in Cyrus, %d in the source without UW's own", len(b), len(kept))
	}
	for i := range b {
		if !bytes.Equal(kept[i], asServed(b[i])) {
			return fmt.Sprintf("header field %d differs", i+1)
		}
	}
	return ""
}

func fields(raw []byte) ([][]byte, error) {
	h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for f := h.Fields(); f.Next(); {
		b, err := f.Raw()
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// asServed does to a raw field what UW does to its bytes: NUL becomes 0x80 and
// a CR that ends no line goes (uw-mbox 2.3).
func asServed(field []byte) []byte {
	field = bytes.ReplaceAll(field, []byte{0}, []byte{0x80})
	field = bytes.ReplaceAll(field, []byte("\r"), nil)
	return bytes.ReplaceAll(field, []byte("\n"), []byte("\r\n"))
}

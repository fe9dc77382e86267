package held

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	gombox "github.com/emersion/go-mbox"
	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// Folder says whose items a Writer takes.
type Folder struct {
	UniqueID string // of the Cyrus mailbox that the folder becomes
	User     string
	Name     string
	Source   string // path below the source root
}

// Writer makes the list and the mbox file of one mailbox. They replace those of an earlier
// pass with Commit, and until then nothing is changed. Files are made with the first item
// only. A Writer is for one goroutine.
type Writer struct {
	dir    string // the state directory's held/
	folder Folder
	list   *output
	mail   *output
	mbox   *gombox.Writer
	items  int64
	bytes  int64
	size   int64
	sha1   string
}

// NewWriter returns a Writer of files in dir.
func NewWriter(dir string, f Folder) *Writer { return &Writer{dir: dir, folder: f} }

// Count returns how many items there are so far, and how many bytes they are.
func (w *Writer) Count() (items, bytes int64) { return w.items, w.bytes }

// Mbox returns the size of the mbox file that Commit made, and its SHA-1 in hexadecimal.
func (w *Writer) Mbox() (size int64, sha1 string) { return w.size, w.sha1 }

// Hold takes one item. Its ID, SHA1 and those fields that say whose it is are filled in.
// source has its bytes; it is nil for a file that must not be opened. It is read twice.
func (w *Writer) Hold(it Item, source io.ReadSeeker) error {
	if err := w.hold(it, source); err != nil {
		return fmt.Errorf("holding %d bytes at offset %d: %w", it.Length, it.Offset, err)
	}
	return nil
}

func (w *Writer) hold(it Item, source io.ReadSeeker) error {
	it.User, it.Folder, it.Source = ledger.RawName(w.folder.User), ledger.RawName(w.folder.Name), ledger.RawName(w.folder.Source)
	if err := w.open(); err != nil {
		return err
	}
	var plain bool
	if source != nil {
		var err error
		if it.SHA1, plain, err = survey(source, it.Length); err != nil {
			return err
		}
		if _, err := source.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	if err := it.identify(); err != nil {
		return err
	}
	line, err := json.Marshal(it)
	if err != nil {
		return err
	}
	if _, err := w.list.Write(append(line, '\n')); err != nil {
		return err
	}
	if source != nil {
		if err := w.message(&it, source, plain); err != nil {
			return err
		}
	}
	w.items++
	w.bytes += it.Length
	return nil
}

// open makes the new files, once.
func (w *Writer) open() (err error) {
	if w.list != nil {
		return nil
	}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return err
	}
	if w.list, err = create(listPath(w.dir, w.folder.UniqueID)); err != nil {
		return err
	}
	if w.mail, err = create(mboxPath(w.dir, w.folder.UniqueID)); err != nil {
		return err
	}
	w.mbox = gombox.NewWriter(w.mail)
	return nil
}

// messageTime is the date of all separators: the same bytes are held as the same file,
// whenever that is.
var messageTime = time.Unix(0, 0)

// message writes one message of the mbox file. Its body is the bytes as they are, where
// they are plain text; the mbox writer quotes "From " at the beginning of a line, and
// plain text has no ">From " there, so that the quoting can be undone. Else it is base64.
// As the writer ends every message with line ends of its own, X-Held-Length counts.
func (w *Writer) message(it *Item, source io.Reader, plain bool) error {
	body, err := w.mbox.CreateMessage("mbox2cyrus", messageTime)
	if err != nil {
		return err
	}
	kind, encoding := "text/plain; charset=unknown-8bit", "8bit"
	if !plain {
		kind, encoding = "application/octet-stream", "base64"
	}
	var head strings.Builder
	for _, f := range [][2]string{
		{"From", "mbox2cyrus <>"},
		{"Subject", mime.QEncoding.Encode("utf-8", strings.ToValidUTF8(fmt.Sprintf("held from %s of %s: %d bytes at %d", it.Folder, it.User, it.Length, it.Offset), "?"))},
		{"X-Held-ID", it.ID},
		{"X-Held-User", strconv.QuoteToASCII(string(it.User))},
		{"X-Held-Folder", strconv.QuoteToASCII(string(it.Folder))},
		{"X-Held-Source", strconv.QuoteToASCII(string(it.Source))},
		{"X-Held-File", strconv.QuoteToASCII(string(it.File))},
		{"X-Held-Offset", strconv.FormatInt(it.Offset, 10)},
		{"X-Held-Length", strconv.FormatInt(it.Length, 10)},
		{"X-Held-Reason", it.Reason},
		{"X-Held-Text", strconv.QuoteToASCII(it.Text)},
		{"X-Held-SHA1", it.SHA1},
		{"MIME-Version", "1.0"},
		{"Content-Type", kind},
		{"Content-Transfer-Encoding", encoding},
	} {
		fmt.Fprintf(&head, "%s: %s\n", f[0], f[1])
	}
	if _, err := io.WriteString(body, head.String()+"\n"); err != nil {
		return err
	}
	source = io.LimitReader(source, it.Length)
	if plain {
		_, err = io.Copy(body, source)
		return err
	}
	lines := &lineBreaker{w: body}
	enc := base64.NewEncoder(base64.StdEncoding, lines)
	if _, err := io.Copy(enc, source); err != nil {
		return err
	}
	return enc.Close()
}

// maxLine is the longest line of plain text: RFC 5322 2.1.1. It also bounds what the mbox
// writer keeps in memory.
const maxLine = 998

// survey reads length bytes, and returns their SHA-1 and whether they are plain text: lines
// that no mbox reader or mail program changes, but for the quoting.
func survey(r io.Reader, length int64) (sha string, plain bool, err error) {
	sum := sha1.New()
	br := bufio.NewReaderSize(io.TeeReader(io.LimitReader(r, length), sum), 64<<10)
	plain = true
	var n int64
	var quoting quotedFrom
	column := 0
	for {
		c, err := br.ReadByte()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", false, err
		}
		n++
		switch {
		case c == '\n':
			quoting, column = quotedFrom{}, 0
			continue
		case c < ' ' && c != '\t', c == 0x7f:
			plain = false
		}
		if column++; column > maxLine {
			plain = false
		}
		if quoting.next(c) {
			plain = false // one ">" more or less could not be told apart
		}
	}
	if n < length {
		return "", false, fmt.Errorf("%d bytes are there: %w", n, io.ErrUnexpectedEOF)
	}
	return hex.EncodeToString(sum.Sum(nil)), plain, nil
}

// quotedFrom looks for "From " behind one ">" or more at the beginning of a line.
type quotedFrom struct {
	marks, matched int
	other          bool // the line is none
}

// next takes the next byte of the line. It is true once.
func (q *quotedFrom) next(c byte) bool {
	const from = "From "
	switch {
	case q.other:
	case c == '>' && q.matched == 0:
		q.marks++
	case q.marks > 0 && c == from[q.matched]:
		q.matched++
		q.other = q.matched == len(from)
		return q.other
	default:
		q.other = true
	}
	return false
}

// lineBreaker breaks base64 into lines of 76 characters (RFC 2045 6.8).
type lineBreaker struct {
	w      io.Writer
	column int
}

func (l *lineBreaker) Write(p []byte) (n int, err error) {
	const width = 76
	for len(p) > 0 {
		piece := p[:min(len(p), width-l.column)]
		if _, err := l.w.Write(piece); err != nil {
			return n, err
		}
		n, p, l.column = n+len(piece), p[len(piece):], l.column+len(piece)
		if l.column == width {
			if _, err := io.WriteString(l.w, "\n"); err != nil {
				return n, err
			}
			l.column = 0
		}
	}
	return n, nil
}

// Commit puts the new files in the place of the old ones, durably: the bytes before the
// list that tells of them. Without an item it removes the old ones.
func (w *Writer) Commit() error {
	if err := w.commit(); err != nil {
		return fmt.Errorf("held mail: %w", err)
	}
	return nil
}

func (w *Writer) commit() error {
	if w.list == nil {
		return Remove(w.dir, w.folder.UniqueID)
	}
	if err := w.mbox.Close(); err != nil {
		return err
	}
	for _, o := range []*output{w.mail, w.list} {
		if err := o.commit(); err != nil {
			return err
		}
	}
	w.size, w.sha1 = w.mail.size, hex.EncodeToString(w.mail.sum.Sum(nil))
	w.list, w.mail = nil, nil
	return syncDir(w.dir)
}

// Close drops what was not committed.
func (w *Writer) Close() error {
	var err error
	for _, o := range []*output{w.list, w.mail} {
		if o != nil {
			err = errors.Join(err, o.discard())
		}
	}
	w.list, w.mail = nil, nil
	if err != nil {
		return fmt.Errorf("held mail: %w", err)
	}
	return nil
}

// output is a file that is written beside the one that it replaces.
type output struct {
	*bufio.Writer
	file *os.File
	path string    // of the file that it replaces
	sum  hash.Hash // of what is written to file
	size int64     // of file, when it is committed
}

const newSuffix = ".new"

func create(path string) (*output, error) {
	f, err := os.OpenFile(path+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	sum := sha1.New()
	return &output{Writer: bufio.NewWriterSize(io.MultiWriter(f, sum), 64<<10), file: f, path: path, sum: sum}, nil
}

func (o *output) commit() error {
	err := o.Flush()
	if err == nil {
		o.size, err = o.file.Seek(0, io.SeekCurrent)
	}
	if err == nil {
		err = o.file.Sync()
	}
	if err := errors.Join(err, o.file.Close()); err != nil {
		return err
	}
	return os.Rename(o.path+newSuffix, o.path)
}

func (o *output) discard() error {
	err := o.file.Close()
	if errors.Is(err, fs.ErrClosed) { // a commit that failed
		err = nil
	}
	if rerr := os.Remove(o.path + newSuffix); !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}

// Remove removes what is held of the mailbox with that unique id, the list first.
func Remove(dir, uniqueID string) error {
	removed := false
	for _, path := range []string{listPath(dir, uniqueID), mboxPath(dir, uniqueID)} {
		for _, path := range []string{path, path + newSuffix} {
			err := os.Remove(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("held mail: %w", err)
			}
			removed = removed || err == nil
		}
	}
	if !removed {
		return nil
	}
	return syncDir(dir)
}

func listPath(dir, uniqueID string) string { return filepath.Join(dir, uniqueID+".jsonl") }
func mboxPath(dir, uniqueID string) string { return filepath.Join(dir, uniqueID+".mbox") }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("held mail: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("held mail: sync: %w", err)
	}
	return nil
}

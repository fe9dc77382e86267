package ledger

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	manifestDir    = "manifests"
	manifestHeader = "# mbox2cyrus manifest 2: uid offset end size sha1 date flags keywords file"
	// The first version had no file: all offsets were in one.
	manifestHeader1 = "# mbox2cyrus manifest 1: uid offset end size sha1 date flags keywords"
)

// Flags are the five system flags of IMAP that UW and Cyrus share (RFC 9051 2.3.2).
type Flags uint8

// In the order of their letters in a manifest.
const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
)

// flagLetters are UW's own letters of its Status and X-Status headers.
const flagLetters = "RAFDT"

// String gives UW's letters, "-" for no flag.
func (f Flags) String() string {
	var b strings.Builder
	for i, c := range flagLetters {
		if f&(1<<i) != 0 {
			b.WriteRune(c)
		}
	}
	if b.Len() == 0 {
		return "-"
	}
	return b.String()
}

func parseFlags(s string) (f Flags, ok bool) {
	if s == "-" {
		return 0, true
	}
	for _, c := range s {
		i := strings.IndexRune(flagLetters, c)
		if i < 0 {
			return 0, false
		}
		f |= 1 << i
	}
	return f, true
}

// Message is one line of a manifest: where a message lay in the source and
// what Cyrus must say of it.
type Message struct {
	UID         uint32
	Offset, End int64 // byte range in the source, From_ line and separator included
	Size        int64 // bytes in Cyrus
	GUID        [20]byte
	Date        int64 // internal date, seconds since 1970
	Flags       Flags
	Keywords    uint64 // bit n: keyword n of the mailbox's list
	File        string // raw; which file the byte range is in, of a folder that has several
}

// ManifestWriter writes a manifest. Messages come in the order of their UIDs.
type ManifestWriter struct {
	f   *os.File
	bw  *bufio.Writer
	buf []byte
}

// CreateManifest makes the manifest of a mailbox, replacing an older one.
func (l *Ledger) CreateManifest(name string) (*ManifestWriter, error) {
	f, err := os.OpenFile(filepath.Join(l.dir, manifestDir, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	w := &ManifestWriter{f: f, bw: bufio.NewWriterSize(f, 1<<14)}
	w.bw.WriteString(manifestHeader + "\n") // bufio keeps its first error for Close
	return w, nil
}

// Add appends a message.
func (w *ManifestWriter) Add(m Message) {
	b := w.buf[:0]
	b = strconv.AppendUint(b, uint64(m.UID), 10)
	for _, n := range [...]int64{m.Offset, m.End, m.Size} {
		b = append(b, '\t')
		b = strconv.AppendInt(b, n, 10)
	}
	b = append(b, '\t')
	b = hex.AppendEncode(b, m.GUID[:])
	b = append(b, '\t')
	b = strconv.AppendInt(b, m.Date, 10)
	b = append(b, '\t')
	b = append(b, m.Flags.String()...)
	b = append(b, '\t')
	b = strconv.AppendUint(b, m.Keywords, 16)
	b = append(b, '\t')
	if m.File == "" {
		b = append(b, '-')
	} else {
		b = strconv.AppendQuote(b, m.File)
	}
	b = append(b, '\n')
	w.buf = b
	w.bw.Write(b) // bufio keeps its first error for Close
}

// Close finishes the manifest. It is durable after the next sync of the file
// system that holds the state directory.
func (w *ManifestWriter) Close() error {
	if err := errors.Join(w.bw.Flush(), w.f.Close()); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

// ManifestReader reads a manifest, a message at a time.
type ManifestReader struct {
	f  *os.File
	sc *bufio.Scanner
	n  int
	v1 bool
}

// OpenManifest opens a mailbox's manifest.
func (l *Ledger) OpenManifest(name string) (*ManifestReader, error) {
	f, err := os.OpenFile(filepath.Join(l.dir, manifestDir, name), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	r := &ManifestReader{f: f, sc: bufio.NewScanner(f)}
	if r.sc.Scan() {
		r.v1 = r.sc.Text() == manifestHeader1
	}
	if !r.v1 && r.sc.Text() != manifestHeader {
		return nil, errors.Join(fmt.Errorf("manifest %s: not a manifest that this program knows", f.Name()), r.sc.Err(), f.Close())
	}
	return r, nil
}

// Next returns the next message, io.EOF after the last.
func (r *ManifestReader) Next() (Message, error) {
	if !r.sc.Scan() {
		if err := r.sc.Err(); err != nil {
			return Message{}, fmt.Errorf("manifest %s: %w", r.f.Name(), err)
		}
		return Message{}, io.EOF
	}
	r.n++
	m, err := parseMessage(r.sc.Text(), r.v1)
	if err != nil {
		return Message{}, fmt.Errorf("manifest %s: line %d: %w", r.f.Name(), r.n+1, err)
	}
	return m, nil
}

// Close closes the manifest.
func (r *ManifestReader) Close() error { return r.f.Close() }

// EachMessage calls do for every message of a manifest, until it fails.
func (l *Ledger) EachMessage(name string, do func(Message) error) (err error) {
	r, err := l.OpenManifest(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		m, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = do(m)
		}
		if err != nil {
			return err
		}
	}
}

func parseMessage(s string, v1 bool) (m Message, err error) {
	f := strings.Split(s, "\t")
	if v1 {
		f = append(f, "-")
	}
	if len(f) != 9 {
		return m, fmt.Errorf("%d fields, which are too few or too many", len(f))
	}
	if f[8] != "-" {
		if m.File, err = strconv.Unquote(f[8]); err != nil {
			return m, fmt.Errorf("file %s: %w", f[8], err)
		}
	}
	var uid, kw uint64
	var e [7]error
	uid, e[0] = strconv.ParseUint(f[0], 10, 32)
	m.Offset, e[1] = strconv.ParseInt(f[1], 10, 64)
	m.End, e[2] = strconv.ParseInt(f[2], 10, 64)
	m.Size, e[3] = strconv.ParseInt(f[3], 10, 64)
	if len(f[4]) != 2*len(m.GUID) {
		return m, fmt.Errorf("sha1 %q", f[4])
	}
	_, e[4] = hex.Decode(m.GUID[:], []byte(f[4]))
	m.Date, e[5] = strconv.ParseInt(f[5], 10, 64)
	kw, e[6] = strconv.ParseUint(f[7], 16, 64)
	flags, ok := parseFlags(f[6])
	if !ok {
		return m, fmt.Errorf("flags %q", f[6])
	}
	m.UID, m.Keywords, m.Flags = uint32(uid), kw, flags
	return m, errors.Join(e[:]...)
}

// RemoveManifest removes a manifest that no mailbox refers to any more.
func (l *Ledger) RemoveManifest(name string) error {
	if err := os.Remove(filepath.Join(l.dir, manifestDir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

// ManifestDir returns the directory of the manifests, for syncing.
func (l *Ledger) ManifestDir() string { return filepath.Join(l.dir, manifestDir) }

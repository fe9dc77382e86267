package mbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// headSize is how much of a file is read to recognise its format.
	headSize = 4 << 10
	// longHeadSize is how much of a file's beginning, and of its end, is read to say why it
	// is no mailbox.
	longHeadSize = 64 << 10
)

// look opens the file entry in dir and recognises it. It returns a File without name
// and path, or why it is no folder.
func (w *walker) look(dir *os.File, entry string) (*File, *Skipped, error) {
	file, st, s, err := openUserFile(dir, entry, w.user.UID)
	if err != nil || s != nil {
		return nil, s, err
	}
	defer file.Close()
	f := &File{Links: uint64(st.Nlink), Identity: identityOf(st)}
	head, err := readStart(file, w.head[:])
	if errors.Is(err, unix.EIO) {
		return w.lookBehind(file, f, err)
	}
	if err != nil {
		return nil, nil, err
	}
	f.Format = Recognise(head, f.Size)
	lock := strings.HasSuffix(entry, ".lock")
	if f.Format == FormatNone {
		return w.lookFurther(file, f, head, lock)
	}
	if !f.Format.isRead() {
		return nil, &Skipped{Kind: SkipFormat, MayHoldMail: true,
			Text: fmt.Sprintf("%d bytes of mail in %v format, not converted; copy it into a unix folder on the source host (mailutil copy)", f.Size, f.Format)}, nil
	}
	if s, err := tooSparse(file, st); err != nil || s != nil {
		return nil, s, err
	}
	if f.Format == FormatUnixDoubtful && !readsAsUnix(file, f.Size) {
		return nil, &Skipped{Kind: SkipNotFolder, MayHoldMail: true,
			Text: fmt.Sprintf("%d bytes, its first From_ line ends with several CRs, for which UW refused it, and other lines end otherwise; make all line ends LF or CR LF to have the mail converted", f.Size)}, nil
	}
	switch {
	case lock && f.Format == FormatEmpty:
		return nil, &Skipped{Kind: SkipLockFile, Text: "empty lock file; make sure that no mail session is running"}, nil
	case lock:
		f.Warning = "named like a lock file, but it is a mailbox: converted as a folder"
	}
	return f, nil, nil
}

// readsAsUnix reports whether a Reader takes a file for a mailbox that was recognised by its
// beginning alone: of one whose first line ends with several CRs, all lines must. Errors of
// reading are left to who reads the mail.
func readsAsUnix(file *os.File, size int64) bool {
	r := newReader(file, size, unixDelimiter{}, Options{}, wholeMailboxWindow)
	defer func() { release(&r.win, &r.out) }()
	var not *NotMailboxError
	_, err := r.Next()
	return !errors.As(err, &not)
}

// lookFurther looks at a file that begins with head and is in no format, for what it may be
// else. lock says that it is named like a lock file.
func (w *walker) lookFurther(file *os.File, f *File, head []byte, lock bool) (*File, *Skipped, error) {
	if len(head) == headSize {
		var err error
		head, err = readHead(file, longHeadSize)
		if errors.Is(err, unix.EIO) {
			return w.lookBehind(file, f, err)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	tail, err := readTail(file, len(head), f.Size)
	if err != nil {
		return nil, nil, err
	}
	why, mail := notMailbox(head, tail, f.Size)
	kind := SkipNotFolder
	if lock && !mail {
		kind, why = SkipLockFile, "lock file; "+why
	}
	if w.brief && !w.away && isCompressed(head) {
		mail = false // homes are full of packed files
	}
	return nil, &Skipped{Kind: kind, MayHoldMail: mail, Text: fmt.Sprintf("%d bytes, %s", f.Size, why)}, nil
}

// lookBehind looks at a file whose beginning cannot be read, for the reason why. It is
// taken for a mailbox in unix format if From_ lines follow soon.
func (w *walker) lookBehind(file *os.File, f *File, why error) (*File, *Skipped, error) {
	head := make([]byte, min(longHeadSize, f.Size))
	if err := readFull(&blockReader{src: file, bad: &badBlocks{}}, head, 0); err != nil {
		return nil, nil, err
	}
	if n, _ := countSeparators(head, f.Size); n == 0 {
		return nil, nil, why
	}
	f.Format, f.Warning = FormatUnix, "its beginning cannot be read from the disk, but From_ lines follow: taken for a mailbox in unix format"
	return f, nil, nil
}

// readHead returns the first n bytes of a file, fewer if it is shorter.
func readHead(file *os.File, n int) ([]byte, error) { return readStart(file, make([]byte, n)) }

// readStart reads the first bytes of a file into head, and returns those that there are.
func readStart(file *os.File, head []byte) ([]byte, error) {
	got, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head[:got], nil
}

// readTail returns the last bytes of a file of that size whose first head bytes were read,
// nil if there are no more.
func readTail(file *os.File, head int, size int64) ([]byte, error) {
	tail := make([]byte, max(0, min(longHeadSize, size-int64(head))))
	got, err := file.ReadAt(tail, size-int64(len(tail)))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return tail[:got], nil
}

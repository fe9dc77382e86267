package mbox

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxHoles is how many bytes of a file may be holes, which take no room and are read as NULs.
// UW leaves NULs where it was cut off while it extended a mailbox (unix.c unix_extend), fewer
// than the mailbox has mail. But a file of terabytes takes its user one call to make, and hours
// to read, in each run.
const maxHoles = 16 << 30

// tooSparse says that mail is not read for the holes of its file, nil if it may be.
func tooSparse(f *os.File, st *unix.Stat_t) (*Skipped, error) {
	why, err := sparseText(f, st)
	if err != nil || why == "" {
		return nil, err
	}
	return &Skipped{Kind: SkipSparse, MayHoldMail: true, Text: why + ", not converted; put the mail that is in it into another file"}, nil
}

// TooSparse says why a file of a user's is not read for its holes, "" if it may be.
func TooSparse(f *os.File) (why string, err error) {
	st, err := fstat(f)
	if err != nil {
		return "", err
	}
	return sparseText(f, st)
}

// sparseText is "" for a file without many holes. What the file system compresses is no hole.
func sparseText(f *os.File, st *unix.Stat_t) (why string, err error) {
	onDisk := st.Blocks * 512 // stat(2)
	if st.Size-onDisk <= maxHoles {
		return "", nil
	}
	n, err := holes(f, st.Size)
	if err == unix.EINVAL || err == unix.EOPNOTSUPP {
		return "", nil // the file system does not tell
	}
	if err != nil {
		return "", fmt.Errorf("looking for holes: %w", err)
	}
	if n <= maxHoles {
		return "", nil
	}
	return fmt.Sprintf("%d bytes, of which about %d are on the disk: the rest are holes, which would take hours to read", st.Size, onDisk), nil
}

// holes counts the bytes of holes in the first size of a file, until there are more than maxHoles
// (lseek(2)). Files are read by offset here: where the descriptor is does not matter.
func holes(f *os.File, size int64) (n int64, err error) {
	for at := int64(0); at < size && n <= maxHoles; {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return n + size - at, nil // up to the end
		}
		if err != nil {
			return 0, err
		}
		n += data - at
		if at, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE); err != nil && err != unix.ENXIO {
			return 0, err
		} else if err != nil {
			break // it was cut off since
		}
	}
	return n, nil
}

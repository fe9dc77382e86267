package ledger

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/mbox"
)

// FileID is what tells whether a file is still the one that was seen. UW sets
// the mtime by hand and keeps the size when only flags change, so the ctime
// counts (uw-mbox 8.3).
type FileID struct {
	Dev    uint64    `json:"dev"` // not compared, see [mbox.Identity]
	Ino    uint64    `json:"ino"`
	Size   int64     `json:"size"`
	MTime  time.Time `json:"mtime"`
	CTime  time.Time `json:"ctime"`
	Digest string    `json:"digest,omitempty"` // of all files of a folder that has several
}

// Equal reports whether both describe the same unchanged file.
func (a FileID) Equal(b FileID) bool {
	return a.Identity().Equal(b.Identity())
}

// NewFileID is the ledger's form of a folder's identity.
func NewFileID(id mbox.Identity) FileID {
	return FileID{Dev: id.Dev, Ino: id.Ino, Size: id.Size, MTime: id.ModTime.UTC(), CTime: id.ChangeTime.UTC(), Digest: id.Digest}
}

// Identity is that of which a is the ledger's form.
func (a FileID) Identity() mbox.Identity {
	return mbox.Identity{Dev: a.Dev, Ino: a.Ino, Size: a.Size, ModTime: a.MTime, ChangeTime: a.CTime, Digest: a.Digest}
}

// Stat returns the identity of an open file.
func Stat(f *os.File) (FileID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return FileID{}, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	return FileID{Dev: st.Dev, Ino: st.Ino, Size: st.Size,
		MTime: time.Unix(st.Mtim.Unix()).UTC(), CTime: time.Unix(st.Ctim.Unix()).UTC()}, nil
}

package migrate

import (
	"io"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// maxGone is how many messages may be gone from a folder that is followed.
const maxGone = 10_000

// follower finds the messages of an earlier pass in a folder where they have the order that
// they had, with some gone and new ones after them: what a folder of new mail is mostly
// like. It then remembers a bit for each, where [inTurn] needs all their SHA-1s.
type follower struct {
	manifest func() (ledger.Message, error) // by UID; io.EOF after the last
	end      bool
	gone     map[[20]byte]bool // those that were passed over

	stayed   []uint64 // a bit for each of the manifest
	read     int64    // of the manifest
	messages int64    // of the folder, that stayed; the first so many
	new      int64    // that follow
	last     uint32   // UID of the manifest
}

func newFollower(manifest func() (ledger.Message, error)) *follower {
	return &follower{manifest: manifest, gone: map[[20]byte]bool{}}
}

// next reads on in the manifest.
func (f *follower) next() (ledger.Message, error) {
	m, err := f.manifest()
	if err != nil {
		f.end = err == io.EOF
		return m, err
	}
	if f.read%64 == 0 {
		f.stayed = append(f.stayed, 0)
	}
	f.read++
	f.last = m.UID
	return m, nil
}

// add takes the next message of the folder. It reports false where that is not the next that
// stayed, and not new either: the folder cannot be followed.
func (f *follower) add(guid [20]byte) (bool, error) {
	for !f.end {
		m, err := f.next()
		switch {
		case err == io.EOF:
		case err != nil:
			return false, err
		case m.GUID == guid:
			f.stayed[(f.read-1)/64] |= 1 << ((f.read - 1) % 64)
			f.messages++
			return true, nil
		case len(f.gone) == maxGone:
			return false, nil
		default:
			f.gone[m.GUID] = true
		}
	}
	if f.gone[guid] {
		return false, nil // or it is there once more
	}
	f.new++
	return true, nil
}

// finish ends the folder.
func (f *follower) finish() error {
	for !f.end {
		if _, err := f.next(); err != nil && err != io.EOF {
			return err
		}
	}
	f.gone = nil
	return nil
}

// stays reports whether the nth of the manifest (from 0) is still there.
func (f *follower) stays(n int64) bool { return f.stayed[n/64]&(1<<(n%64)) != 0 }

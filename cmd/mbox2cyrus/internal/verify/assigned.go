package verify

import (
	"errors"
	"io"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/mbox"
)

// assigned knows the UIDs that the messages of a folder were given, where they were not taken
// from it. Mostly they rise with the places of the messages in one file: then they are read
// beside it, and nothing has to be remembered. Else all are.
type assigned struct {
	manifest *ledger.ManifestReader // nil: uids has all
	next     ledger.Message
	end      bool

	uids map[place]uint32
}

// place is where a message lies in the source.
type place struct {
	file   string
	offset int64
}

// openAssigned returns what a manifest says. sorted says that the folder's messages do not
// come as they lie in it.
func openAssigned(l *ledger.Ledger, manifest string, sorted bool) (*assigned, error) {
	inOrder, last := !sorted, ledger.Message{Offset: -1}
	err := l.EachMessage(manifest, func(m ledger.Message) error {
		inOrder = inOrder && m.Offset > last.Offset && (last.Offset < 0 || m.File == last.File)
		last = m
		return nil
	})
	if err != nil {
		return nil, err
	}
	if inOrder {
		r, err := l.OpenManifest(manifest)
		if err != nil {
			return nil, err
		}
		a := &assigned{manifest: r}
		if err := a.advance(); err != nil {
			return nil, errors.Join(err, r.Close())
		}
		return a, nil
	}
	a := &assigned{uids: map[place]uint32{}}
	err = l.EachMessage(manifest, func(m ledger.Message) error {
		a.uids[place{m.File, m.Offset}] = m.UID
		return nil
	})
	return a, err
}

func (a *assigned) advance() (err error) {
	if a.next, err = a.manifest.Next(); err == io.EOF {
		a.end, err = true, nil
	}
	return err
}

// of returns the UID of a message of the source.
func (a *assigned) of(m *mbox.Message) (uid uint32, ok bool, err error) {
	if a.manifest == nil {
		uid, ok = a.uids[place{m.File, m.Offset}]
		return uid, ok, nil
	}
	for !a.end && a.next.File == m.File && a.next.Offset < m.Offset {
		if err := a.advance(); err != nil {
			return 0, false, err
		}
	}
	return a.next.UID, !a.end && a.next.File == m.File && a.next.Offset == m.Offset, nil
}

func (a *assigned) close() error {
	if a == nil || a.manifest == nil {
		return nil
	}
	return a.manifest.Close()
}

package cyrusspool

import (
	"fmt"
	"slices"
)

// Cores lends processor cores. Take reports whether one was free; it is the caller's
// until it is given back.
type Cores interface {
	Take() bool
	Give()
}

// Beside makes the Writer write message files in goroutines of their own while its caller
// goes on to the next message, as many at a time as cores are free. [Writer.WriteMessage]
// then returns before the file is written, and its error may be that of an earlier
// message, as may that of [Writer.Add] and [Writer.Commit]. Messages that come with more
// than one Write are written at once.
func (w *Writer) Beside(cores Cores) { w.beside = &beside{cores: cores} }

// Bounds of what is remembered: files that are written beside, or were and are not yet
// settled, and records that wait for them.
const (
	maxBeside      = 8
	maxWaitingAdds = 100
)

// beside are the message files of one mailbox that are written beside. A nil beside takes
// none.
type beside struct {
	cores   Cores
	files   []*besideFile // in the order in which they were begun
	unused  []*besideFile
	failure error // the first, which stays
}

// besideFile is a message whose file is written by a goroutine of its own.
type besideFile struct {
	text   []byte
	parser *CacheParser // nil: no record of the cache is made

	uid  uint32
	guid [20]byte
	done chan struct{} // closed when what follows is there
	err  error
	parsed
}

// file returns a file to be used.
func (b *beside) file() *besideFile {
	n := len(b.unused)
	if n == 0 {
		return &besideFile{}
	}
	f := b.unused[n-1]
	b.unused = b.unused[:n-1]
	return f
}

// hold takes a copy of a message, and a core to write it, if there is one.
func (b *beside) hold(text []byte) *besideFile {
	if b == nil || !b.cores.Take() {
		return nil
	}
	f := b.file()
	f.text = append(f.text[:0], text...)
	return f
}

// forget gives up a file that was held, which may be nil.
func (b *beside) forget(f *besideFile) {
	if f != nil {
		b.cores.Give()
		b.unused = append(b.unused, f)
	}
}

// goBeside begins to write the file of the message that f waits with.
func (w *Writer) goBeside(f *messageFile, uid uint32, guid [20]byte) {
	b := f.waiting
	b.uid, b.guid, b.done = uid, guid, make(chan struct{})
	if w.cache != nil && b.parser == nil {
		b.parser = w.cache.parser.another()
	}
	w.beside.files = append(w.beside.files, b)
	go func() {
		defer close(b.done)
		defer w.beside.cores.Give()
		b.err, b.parsed = nil, parsed{}
		if b.parser != nil {
			b.parsed.parse(b.parser, b.text, f.date.Unix())
		}
		b.err = w.owner.Do(func() (err error) {
			if f.fd, err = w.create(f.name); err != nil {
				return err
			}
			f.writeAll(b.text)
			if f.err == nil {
				f.err = w.finish(f)
			}
			return w.closeFile(f, f.err)
		})
	}()
}

// written is the done of a file that was not written beside.
var written = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// keepInTurn has the record of the cache of a message that was written wait for those
// before it, so that the records lie in the order of the messages, whatever was written
// when. It reports false where none is before it.
func (w *Writer) keepInTurn(uid uint32, guid [20]byte) bool {
	b := w.beside
	if b == nil || len(b.files) == 0 {
		return false
	}
	f := b.file()
	f.uid, f.guid, f.done, f.err, f.parsed = uid, guid, written, nil, w.cache.parsed
	f.text = append(f.text[:0], f.record...)
	f.record = f.text
	b.files = append(b.files, f)
	return true
}

// find returns the file of uid that is not yet settled, and its place; nil if it is.
func (b *beside) find(uid uint32) (int, *besideFile) {
	if b != nil {
		for i, f := range b.files {
			if f.uid == uid {
				return i, f
			}
		}
	}
	return -1, nil
}

// settle waits for the file at place i and takes what came of it.
func (w *Writer) settle(i int) error {
	b := w.beside
	f := b.files[i]
	<-f.done
	b.files = slices.Delete(b.files, i, i+1)
	b.unused = append(b.unused, f)
	err := f.err
	if err == nil && w.cache != nil {
		w.cache.parsed = f.parsed
		err = w.cache.keep(f.uid, f.guid)
	}
	if err != nil && b.failure == nil {
		b.failure = fmt.Errorf("mailbox %s: %w", w.path, err)
	}
	return b.failure
}

// makeRoom waits until there is room for another file, and for that of uid.
func (w *Writer) makeRoom(uid uint32) error {
	b := w.beside
	if b == nil {
		return nil
	}
	if i, f := b.find(uid); f != nil {
		if err := w.settle(i); err != nil {
			return err
		}
	}
	for len(b.files) >= maxBeside {
		if err := w.settle(0); err != nil {
			return err
		}
	}
	return b.failure
}

// addWritten adds the records that wait, up to the first whose file is being written.
func (w *Writer) addWritten() error {
	for len(w.adds) > 0 {
		r := w.adds[0]
		if i, f := w.beside.find(r.UID); f != nil {
			select {
			case <-f.done:
			default:
				if len(w.adds) < maxWaitingAdds {
					return nil
				}
			}
			if err := w.settle(i); err != nil {
				return err
			}
		}
		if err := w.add(r); err != nil {
			return err
		}
		w.adds = slices.Delete(w.adds, 0, 1)
	}
	return nil
}

// settleAll waits for all files, and adds the records that wait.
func (w *Writer) settleAll() error {
	if w.beside == nil {
		return nil
	}
	for len(w.beside.files) > 0 {
		if err := w.settle(0); err != nil {
			return err
		}
	}
	if w.beside.failure != nil {
		return w.beside.failure
	}
	return w.addWritten()
}

// wait waits for all files, whatever comes of them.
func (b *beside) wait() {
	if b == nil {
		return
	}
	for _, f := range b.files {
		<-f.done
	}
}

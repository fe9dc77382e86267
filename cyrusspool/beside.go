package cyrusspool

import (
	"fmt"
	"slices"
	"sync"
)

// Cores lends processor cores. Take reports whether one was free; it is the caller's
// until it is given back. Spare is how many are free, or, below 0, how many more are in use
// than there are: one that was lent should be given back soon.
type Cores interface {
	Take() bool
	Give()
	Spare() int
}

// Beside makes the Writer write message files in goroutines of their own while its caller
// goes on to the next message, as many at a time as cores are free; where more wait than
// those can write, the caller writes too. [Writer.WriteMessage]
// then returns before the file is written, and its error may be that of an earlier
// message, as may that of [Writer.Add] and [Writer.Commit]. Messages that come with more
// than one Write are written at once.
func (w *Writer) Beside(cores Cores) { w.beside = &beside{cores: cores} }

// Bounds of what is remembered.
const (
	maxQueued      = 16      // files that nobody writes yet
	maxHeld        = 4 << 20 // bytes of files that are not settled, or one file
	maxBeside      = 64      // files that are not settled
	maxWaitingAdds = 100     // records that wait for them
	maxSpareText   = 64 << 10
)

// beside are the message files of one mailbox that are written beside. A nil beside takes
// none.
type beside struct {
	cores   Cores
	files   []*besideFile // in the order in which they were begun
	unused  []*besideFile
	held    int   // bytes of files
	failure error // the first, which stays

	mu      sync.Mutex
	queue   []*besideFile  // of files, those that nobody writes yet
	helpers int            // goroutines that write, each with a core
	parsers []*CacheParser // for the next helpers
	running sync.WaitGroup // helpers
}

// besideFile is a message whose file is written beside.
type besideFile struct {
	text []byte
	size int // of text at first
	to   *messageFile

	uid    uint32
	guid   [20]byte
	done   chan struct{} // closed when what follows is there
	err    error
	parsed // its record takes the place of text
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

// hold takes a copy of a message, if it is likely that it can be written beside.
func (b *beside) hold(text []byte) *besideFile {
	if b == nil || !b.wants(len(text)) {
		return nil
	}
	f := b.file()
	f.text = append(f.text[:0], text...)
	return f
}

// wants reports whether a message of n bytes should be written beside.
func (b *beside) wants(n int) bool {
	if b.held > 0 && b.held+n > maxHeld {
		return false
	}
	spare := b.cores.Spare()
	b.mu.Lock()
	defer b.mu.Unlock()
	return spare > 0 || spare == 0 && b.helpers > 0 && len(b.queue) < maxQueued
}

// forget gives up a file that was held, which may be nil.
func (b *beside) forget(f *besideFile) {
	if f == nil {
		return
	}
	if cap(f.text) > maxSpareText && cap(f.text) > 2*f.size {
		f.text = nil
	}
	f.to = nil
	b.unused = append(b.unused, f)
}

// goBeside has the file of the message written that f waits with.
func (w *Writer) goBeside(f *messageFile, uid uint32, guid [20]byte) {
	b, file := w.beside, f.waiting
	file.to, file.uid, file.guid, file.done, file.size = f, uid, guid, make(chan struct{}), len(file.text)
	b.files = append(b.files, file)
	b.held += file.size
	b.mu.Lock()
	b.queue = append(b.queue, file)
	lent := (b.helpers == 0 || len(b.queue) >= maxQueued) && b.cores.Take()
	alone := b.helpers == 0 && !lent // the last helper has ended meanwhile, and its core is taken
	if lent || alone {
		b.helpers++
	}
	b.mu.Unlock()
	switch {
	case lent:
		b.running.Go(func() {
			defer b.cores.Give()
			w.help()
		})
	case alone:
		w.help()
	}
}

// help writes files until none is left in the queue, with the owner's rights, which cost less
// when they are taken once for several.
func (w *Writer) help() {
	var parser *CacheParser
	err := w.owner.Do(func() error {
		for f := w.beside.next(&parser); f != nil; f = w.beside.next(&parser) {
			w.writeBeside(f, &parser)
		}
		return nil
	})
	if err == nil {
		return
	}
	for f := w.beside.next(&parser); f != nil; f = w.beside.next(&parser) {
		f.wrote(err) // the rights could not be taken
	}
}

// next takes a file to be written from the queue. Where there is none the helper ends and
// leaves its parser to the next one.
func (b *beside) next(parser **CacheParser) *besideFile {
	b.mu.Lock()
	defer b.mu.Unlock()
	if *parser == nil && len(b.parsers) > 0 {
		*parser = b.parsers[len(b.parsers)-1]
		b.parsers = b.parsers[:len(b.parsers)-1]
	}
	if len(b.queue) == 0 {
		b.helpers--
		if *parser != nil {
			b.parsers = append(b.parsers, *parser)
		}
		return nil
	}
	f := b.queue[0]
	b.queue = slices.Delete(b.queue, 0, 1)
	return f
}

// writeBeside makes the file, and the record of the cache.
func (w *Writer) writeBeside(f *besideFile, parser **CacheParser) {
	f.parsed = parsed{}
	if w.cache != nil {
		if *parser == nil {
			*parser = w.cache.parser.another()
		}
		f.parsed.parse(*parser, f.text, f.to.date.Unix())
	}
	err := w.makeFile(f.to, f.text)
	f.text = append(f.text[:0], f.record...)
	f.record = f.text
	f.wrote(err)
}

// wrote tells what came of writing the file.
func (f *besideFile) wrote(err error) {
	f.err = err
	close(f.done)
}

func (f *besideFile) isWritten() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// makeFile makes a message file of a whole text.
func (w *Writer) makeFile(f *messageFile, text []byte) (err error) {
	if f.fd, err = w.create(f.name); err != nil {
		return err
	}
	f.writeAll(text)
	if f.err == nil {
		f.err = w.finish(f)
	}
	return w.closeFile(f, f.err)
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
	f.uid, f.guid, f.done, f.err, f.size, f.parsed = uid, guid, written, nil, 0, w.cache.parsed
	f.text = append(f.text[:0], f.record...)
	f.record = f.text
	b.files = append(b.files, f)
	return true
}

// find returns the place of the file of uid that is not yet settled; -1 if it is.
func (b *beside) find(uid uint32) int {
	if b == nil {
		return -1
	}
	return slices.IndexFunc(b.files, func(f *besideFile) bool { return f.uid == uid })
}

// settle waits for the first n files and takes what came of them.
func (w *Writer) settle(n int) error {
	b := w.beside
	for _, f := range b.files[:n] {
		<-f.done
		err := f.err
		if err == nil && w.cache != nil {
			w.cache.parsed = f.parsed
			err = w.cache.keep(f.uid, f.guid)
		}
		if err != nil && b.failure == nil {
			b.failure = fmt.Errorf("mailbox %s: %w", w.path, err)
		}
		b.held -= f.size
		b.forget(f)
	}
	b.files = slices.Delete(b.files, 0, n)
	return b.failure
}

// makeRoom settles what is written, and waits until there is room for another file, and
// for that of uid.
func (w *Writer) makeRoom(uid uint32) error {
	b := w.beside
	if b == nil {
		return nil
	}
	n := max(0, b.find(uid)+1, len(b.files)-maxBeside+1)
	for n < len(b.files) && b.files[n].isWritten() {
		n++
	}
	return w.settle(n)
}

// addWritten adds the records that wait, up to the first whose file is being written.
func (w *Writer) addWritten() error {
	for len(w.adds) > 0 {
		r := w.adds[0]
		if i := w.beside.find(r.UID); i >= 0 {
			if len(w.adds) < maxWaitingAdds {
				return nil
			}
			if err := w.settle(i + 1); err != nil {
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
	if err := w.settle(len(w.beside.files)); err != nil {
		return err
	}
	return w.addWritten()
}

// wait waits for all files, whatever comes of them.
func (b *beside) wait() {
	if b != nil {
		b.running.Wait()
	}
}

package cyrusspool

import (
	"fmt"
	"slices"

	"mbox2cyrus/internal/beside"
)

// Cores lends processor cores. Take reports whether one was free; it is the caller's
// until it is given back. Spare is how many are free, or, below 0, how many more are in use
// than there are: one that was lent should be given back soon.
type Cores = beside.Cores

// Beside makes the Writer write message files in goroutines of their own while its caller
// goes on to the next message, as many at a time as cores are free; where more wait than
// those can write, the caller writes too. [Writer.WriteMessage]
// then returns before the file is written, and its error may be that of an earlier
// message, as may that of [Writer.Add] and [Writer.Commit]. Messages that come with more
// than one Write are written at once.
func (w *Writer) Beside(cores Cores) {
	w.beside = &besideFiles{parsers: make(chan *CacheParser, maxSpareParsers)}
	w.beside.Queue = beside.New(cores, w.writeFiles)
}

// Bounds of what is remembered.
const (
	maxBeside       = 64      // files that are not settled
	maxHeld         = 4 << 20 // bytes of their texts, or one text
	maxWaitingAdds  = 100     // records that wait for them
	maxSpare        = 4 << 20 // bytes of buffers for those to come
	maxSpareParsers = 4
)

// besideFiles are the message files of one mailbox that are written beside, in the order in
// which they were begun. A nil one takes none.
type besideFiles struct {
	*beside.Queue[besideFile]
	held    int // bytes of texts
	unused  []*besideFile
	spare   int               // bytes of their buffers
	failure error             // the first, which stays
	parsers chan *CacheParser // for the next worker
}

// besideFile is a message whose file is written beside.
type besideFile struct {
	to   *messageFile
	text []byte
	size int // of text at first
	uid  uint32
	guid [20]byte

	// What came of it.
	err    error
	parsed // its record takes the place of text
}

// file returns a file to be used.
func (b *besideFiles) file() *besideFile {
	n := len(b.unused)
	if n == 0 {
		return &besideFile{}
	}
	f := b.unused[n-1]
	b.unused = b.unused[:n-1]
	b.spare -= cap(f.text)
	return f
}

// hold takes a copy of a message, if it should be written beside.
func (b *besideFiles) hold(text []byte) *besideFile {
	if b == nil || b.held > 0 && b.held+len(text) > maxHeld || !b.Wants() {
		return nil
	}
	f := b.file()
	f.text, f.size = append(f.text[:0], text...), len(text)
	return f
}

// forget gives up a file that was held, which may be nil.
func (b *besideFiles) forget(f *besideFile) {
	if f == nil {
		return
	}
	if b.spare+cap(f.text) > maxSpare {
		f.text = nil
	}
	b.spare += cap(f.text)
	f.to, f.parsed = nil, parsed{} // whose record may be in text
	b.unused = append(b.unused, f)
}

// goBeside has the file of the message written that f waits with.
func (w *Writer) goBeside(f *messageFile, uid uint32, guid [20]byte) {
	file := f.waiting
	file.to, file.uid, file.guid = f, uid, guid
	w.beside.held += file.size
	w.beside.Add(file)
}

// writeFiles writes files with the owner's rights, which cost less when they are taken once
// for several.
func (w *Writer) writeFiles(next func() *besideFile) {
	parser := w.takeParser()
	err := w.owner.Do(func() error {
		for f := next(); f != nil; f = next() {
			w.writeFile(f, parser)
		}
		return nil
	})
	if err != nil { // the rights could not be taken
		for f := next(); f != nil; f = next() {
			f.err, f.parsed = err, parsed{}
		}
	}
	if parser != nil {
		select {
		case w.beside.parsers <- parser:
		default:
		}
	}
}

// takeParser returns what makes records of the cache; nil if none are made.
func (w *Writer) takeParser() *CacheParser {
	if w.cache == nil {
		return nil
	}
	select {
	case p := <-w.beside.parsers:
		return p
	default:
		return w.cache.parser.another()
	}
}

// writeFile makes the file, and the record of the cache.
func (w *Writer) writeFile(f *besideFile, parser *CacheParser) {
	f.parsed = parsed{}
	if parser != nil {
		f.parsed.parse(parser, f.text, f.to.date.Unix())
	}
	f.err = w.makeFile(f.to, f.text)
	f.text = append(f.text[:0], f.record...)
	f.record = f.text
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

// keepInTurn has the record of the cache of a message that was written wait for those
// before it, so that the records lie in the order of the messages, whatever was written
// when. It reports false where none is before it.
func (w *Writer) keepInTurn(uid uint32, guid [20]byte) bool {
	b := w.beside
	if b == nil || b.Len() == 0 {
		return false
	}
	f := b.file()
	f.uid, f.guid, f.size, f.err, f.parsed = uid, guid, 0, nil, w.cache.parsed
	f.text = append(f.text[:0], f.record...)
	f.record = f.text
	b.AddDone(f)
	return true
}

// find returns the place of the file of uid that is not yet settled; -1 if it is.
func (b *besideFiles) find(uid uint32) int {
	if b == nil {
		return -1
	}
	return b.Index(func(f *besideFile) bool { return f.uid == uid })
}

// settle waits for the first n files and takes what came of them.
func (w *Writer) settle(n int) error {
	b := w.beside
	for range n {
		f := b.Take()
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
	return b.failure
}

// makeRoom settles what is written, and waits until there is room for another file, and
// for that of uid.
func (w *Writer) makeRoom(uid uint32) error {
	b := w.beside
	if b == nil {
		return nil
	}
	return w.settle(b.Done(max(0, b.find(uid)+1, b.Len()-maxBeside+1)))
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

// Settle waits until the files of all messages are written, and adds the records that wait
// for them. [Writer.Commit] does it too: Settle is for a caller who syncs them to the disk
// before their records are seen.
func (w *Writer) Settle() error {
	if w.beside == nil {
		return nil
	}
	w.beside.Wait() // for the workers too: they look at the Writer
	if err := w.settle(w.beside.Len()); err != nil {
		return err
	}
	return w.addWritten()
}

// wait waits for all files, whatever comes of them.
func (b *besideFiles) wait() {
	if b != nil {
		b.Wait()
	}
}

package mbox

import (
	"io"
	"maps"
	"os"
)

// directoryReader is what the readers of all formats that are directories have in common.
type directoryReader struct {
	dir   *directory
	opts  Options
	found limitedFindings
	text  storedText

	started   bool
	err       error            // what Next has returned
	own       map[string]int64 // the format's own files that are there: their sizes
	at        int              // in the messages
	number    int              // messages so far
	last      uint32           // greatest UID
	validity  uint32
	keywords  []string
	strangers strangers
	account   Account
	file      *os.File // that the message being read is in
	msg       Message
}

// init prepares to read dir. lf says that lines end with LF there, folders that files
// which are not the format's may be folders.
func (r *directoryReader) init(dir *directory, opts Options, lf, folders bool) {
	r.dir, r.opts, r.found, r.own, r.account = dir, opts, newLimitedFindings(opts.Findings), map[string]int64{}, Account{}
	r.strangers = strangers{dir: dir, folders: folders}
	r.text = storedText{lf: lf, find: r.found.find, account: r.account}
}

// Keywords implements Mailbox.
func (r *directoryReader) Keywords() []string { return r.keywords }

// UIDValidity implements Mailbox.
func (r *directoryReader) UIDValidity() uint32 { return r.validity }

// LastUID implements Mailbox.
func (r *directoryReader) LastUID() uint32 { return r.last }

// Account implements Mailbox.
func (r *directoryReader) Account() Account { return maps.Clone(r.account) }

// step is Next with what a format does in it. Its error stays.
func (r *directoryReader) step(next func() (*Message, error)) (*Message, error) {
	if r.err != nil {
		return nil, r.err
	}
	m, err := next()
	if err != nil {
		r.err = err
		if closeErr := r.closeFile(); err == io.EOF && closeErr != nil {
			r.err = closeErr
		}
		return nil, r.err
	}
	return m, nil
}

func (r *directoryReader) closeFile() error {
	file := r.file
	r.file = nil
	if file == nil {
		return nil
	}
	return file.Close()
}

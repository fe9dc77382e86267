// Package history keeps what the program said of each user in the last run that
// finished him, and how fast runs went. Reports and letters are made of it, and
// --only-failed goes by it. What was done is in the ledger: nothing that is written to
// Cyrus depends on a history, and a lost one costs no mail.
//
// A history is one file a command, HISTORY below the state directory:
//
//	history/migrate.jsonl   written under the lock of the ledger
//	history/verify.jsonl    under the lock of history/verify.lock
//
// Each line is an object of the JSON Lines that --json writes, with the number of its
// run. docs/ledger.md describes the lines that are here alone. Every few runs the
// file is written anew without what later runs made obsolete.
package history

import (
	"errors"
	"path/filepath"
)

// Commands that have a history.
const (
	Migrate = "migrate"
	Verify  = "verify"
)

// ErrBusy is returned by Begin when another run writes the same history.
var ErrBusy = errors.New("another run is writing the same history")

const dirName = "history"

// Path returns the file of a command's history below a state directory.
func Path(state, command string) string { return filepath.Join(state, dirName, command+".jsonl") }

// Mbox2cyrus moves a whole UW IMAP host into Cyrus IMAP, offline, and proves
// that every message arrived.
package main

import (
	"os"

	"mbox2cyrus/internal/fsrights"
)

// Set by the linker: see the Makefile.
var (
	version = "devel"
	commit  = "unknown"
	date    = "unknown"
)

func main() {
	crashBySignal()
	// Where root may not do this, the groups are taken away for each access that is made with
	// other rights than root's, or that fails and says why.
	_ = fsrights.DropGroups()
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

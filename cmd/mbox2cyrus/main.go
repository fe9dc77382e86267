// Mbox2cyrus moves a whole UW IMAP host into Cyrus IMAP, offline, and proves
// that every message arrived.
package main

import (
	"os"
)

// Set by the linker: see the Makefile.
var (
	version = "devel"
	commit  = "unknown"
	date    = "unknown"
)

func main() {
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

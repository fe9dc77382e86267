package main

import (
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// crashBySignal makes the program end by SIGABRT where Go's runtime gives it up: for a panic,
// without memory, on SIGQUIT. By itself the runtime exits with status 2 (package runtime,
// GOTRACEBACK), which says here that all is done.
//
// Such an end would leave a core, with mail in it, in a directory or with whoever collects
// cores, so none is allowed. A limit of 1 is less than any core has, and, other than 0, is
// obeyed too where cores go into a pipe (fs/coredump.c). Cyrus's programs inherit it, which
// does no harm: there would be mail in their cores as well, how they end is told without,
// and the hard limit stays.
func crashBySignal() {
	debug.SetTraceback("crash")
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return // not even that can be asked: there are no limits here
	}
	limit.Cur = min(1, limit.Max)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &limit) // up to the hard limit nobody is refused
}

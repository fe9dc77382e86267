//go:build unix && !linux

package mbox

import (
	"os"

	"golang.org/x/sys/unix"
)

// tooSparse is for Linux, where the program runs; elsewhere holes are read.
func tooSparse(*os.File, *unix.Stat_t) (*Skipped, error) { return nil, nil }

// TooSparse is for Linux, as tooSparse is.
func TooSparse(*os.File) (why string, err error) { return "", nil }

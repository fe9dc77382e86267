//go:build unix && !linux

package mbox

import "golang.org/x/sys/unix"

// These systems have no such flags: access times change, and directories on the way
// need read permission.
const (
	noAtime  = 0
	pathOnly = unix.O_RDONLY
)

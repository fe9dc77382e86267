//go:build 386 || arm

package fsrights

import "golang.org/x/sys/unix"

// The older calls of these systems know ids of 16 bits.
const (
	sysGetgroups = unix.SYS_GETGROUPS32
	sysSetgroups = unix.SYS_SETGROUPS32
)

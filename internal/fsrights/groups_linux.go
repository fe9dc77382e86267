//go:build !386 && !arm

package fsrights

import "golang.org/x/sys/unix"

const (
	sysGetgroups = unix.SYS_GETGROUPS
	sysSetgroups = unix.SYS_SETGROUPS
)

package mbox

import "golang.org/x/sys/unix"

const (
	noAtime  = unix.O_NOATIME
	pathOnly = unix.O_PATH // look names up only: needs no read permission, leaves the access time
)

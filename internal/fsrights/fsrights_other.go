//go:build !linux

package fsrights

import "os"

// DropGroups does nothing: see [Identity.Do].
func DropGroups() error { return nil }

// Do calls f. Only Linux has rights of a single thread.
func (id Identity) Do(f func() error) error { return f() }

// UID is the user whose rights this goroutine uses now.
func UID() uint32 { return uint32(os.Geteuid()) }

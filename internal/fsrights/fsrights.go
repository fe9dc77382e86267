// Package fsrights does file system work with the rights of another user than the one that
// the process runs as: opening a user's mail with no more than that user may open, making
// files that are Cyrus's from their first moment. A process that is not root has no rights
// but its own and uses them.
package fsrights

import "os"

// An Identity is who file access is checked against: a user, a primary group and the
// supplementary groups.
type Identity struct {
	UID, GID uint32
	Groups   []uint32
}

// AsSelf calls f with the process's own rights, within [Identity.Do]: for what is not the
// user's.
func AsSelf(f func() error) error {
	return Identity{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}.Do(f)
}

package mbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
)

// markFiles are files by which one machine can be told from another: its name (hostname(5)
// on Linux, nodename(5) on Solaris, myname(5) on OpenBSD), systemd's and D-Bus's id of it
// (machine-id(5)) and the public keys of its sshd(8).
var markFiles = []string{
	"etc/hostname", "etc/HOSTNAME", "etc/nodename", "etc/myname",
	"etc/machine-id", "var/lib/dbus/machine-id",
	"etc/ssh_host_key.pub", "etc/ssh/ssh_host_key.pub", "etc/ssh/ssh_host_dsa_key.pub", "etc/ssh/ssh_host_rsa_key.pub",
	"etc/ssh/ssh_host_ecdsa_key.pub", "etc/ssh/ssh_host_ed25519_key.pub",
}

// maxMark is more than any of these files has, in bytes.
const maxMark = 16 << 10

// Marks are what the host can be told by from another one that is mounted at the same
// place: paths below the root, each with a hash of the file in hexadecimal. A file that is
// not there, empty, or cannot be read has none. It costs a look at a dozen files.
func (h *Host) Marks() map[string]string {
	marks := map[string]string{}
	for _, path := range markFiles {
		if text := bytes.TrimSpace(h.readMark(path)); len(text) > 0 {
			sum := sha256.Sum256(text)
			marks[path] = hex.EncodeToString(sum[:8])
		}
	}
	return marks
}

func (h *Host) readMark(path string) []byte {
	f, err := h.root.openFile(path)
	if err != nil {
		return nil
	}
	defer f.Close() // read only: nothing can be lost
	text, err := io.ReadAll(io.LimitReader(f, maxMark+1))
	if err != nil || len(text) > maxMark {
		return nil
	}
	return text
}

// OtherMarks returns the paths by which two hosts are told from each other, in order: none
// if some mark is the same in both, or if they have none in common.
func OtherMarks(a, b map[string]string) (paths []string) {
	for _, path := range markFiles {
		mark, ok := a[path]
		other, both := b[path]
		switch {
		case !ok || !both:
		case mark == other:
			return nil
		default:
			paths = append(paths, path)
		}
	}
	return paths
}

package cyrusspool

import (
	"crypto/rand"
	"path"
	"strings"
)

// DirByID returns the directory, below a partition, of a mailbox in the layout by
// unique id that Cyrus 3.6 and later use by default: "uuid/v/9/v9134…"
// (imap/mboxname.c, mboxname_id_hash). An id of less than two bytes has no directory:
// the result is "".
func DirByID(id string) string {
	if len(id) < 2 {
		return ""
	}
	return path.Join("uuid", id[:1], id[1:2], id)
}

// Hashing is how names become paths in the layout by name.
type Hashing struct {
	Spool bool // hashimapspool: a level of one letter in the partition
	Full  bool // fulldirhash: the other way to find the letter
	// Carets: a dot in a user's name is the "^" of the internal name to the hash and
	// in the names of the user's files, up to Cyrus 2.5.
	Carets bool
}

// Dir returns the directory, below a partition, of a mailbox in the layout by name:
// all mailboxes up to Cyrus 3.4, later those whose mbtype holds "l" (imap/mboxname.c,
// mboxname_hash).
func (h Hashing) Dir(n Name) string {
	domain, rest := n.split()
	components := strings.Split(rest, ".")
	var dirs []string
	if domain != "" {
		dirs = append(dirs, "domain")
		if h.Spool {
			dirs = append(dirs, dirHash(domain, h.Full))
		}
		dirs = append(dirs, domain)
	}
	if h.Spool {
		by := components[0]
		if len(components) > 1 {
			by = components[1]
		}
		dirs = append(dirs, dirHash(h.user(by), h.Full))
	}
	return path.Join(append(dirs, components...)...)
}

// UserFile returns the path, below the configdirectory, of a file that a user has in
// the layout by name: "user/j/joe.sub" for the suffix "sub" (imap/mboxname.c,
// mboxname_conf_getpath; up to 2.5 imap/user.c, user_hash_subs, and imap/seen_db.c,
// seen_getpath). It is hashed whether or not hashimapspool is on. inbox is the name
// of the user's INBOX.
func (h Hashing) UserFile(inbox Name, suffix string) string {
	domain, rest := inbox.split()
	_, user, _ := strings.Cut(rest, ".")
	user = h.user(user)
	var dirs []string
	if domain != "" {
		dirs = append(dirs, "domain", dirHash(domain, h.Full), domain)
	}
	return path.Join(append(dirs, "user", dirHash(user, h.Full), user+"."+suffix)...)
}

// user returns a component of an internal name as it is hashed.
func (h Hashing) user(component string) string {
	if h.Carets {
		return component
	}
	return strings.ReplaceAll(component, "^", ".")
}

// dirHash is the one-letter directory of s (lib/util.c, dir_hash_c). Only what stands
// before the first dot counts.
func dirHash(s string, full bool) string {
	if full {
		var n uint32
		for i := 0; i < len(s) && s[i] != '.'; i++ {
			n = ((n << 3) ^ (n >> 5)) ^ uint32(s[i])
		}
		return string(rune('A' + n%23))
	}
	if s == "" {
		return "q"
	}
	c := s[0] | 0x20
	if c < 'a' || c > 'z' {
		c = 'q'
	}
	return string(rune(c))
}

// NewUniqueID returns a new unique id for a mailbox: 24 random characters of 0-9a-z,
// the form of Debian's builds (others write a UUID; every release takes any form).
func NewUniqueID() string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	id := make([]byte, 0, 24)
	var random [32]byte
	for len(id) < cap(id) {
		rand.Read(random[:]) // never fails: it ends the program instead
		for _, b := range random {
			// 252 is the last multiple of 36: above it some digits would be likelier.
			if b < 252 && len(id) < cap(id) {
				id = append(id, digits[b%36])
			}
		}
	}
	return string(id)
}

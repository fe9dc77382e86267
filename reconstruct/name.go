package reconstruct

import (
	"errors"
	"fmt"
	"strings"
)

// maxName is the longest mailbox name that a user can make, in bytes (Cyrus
// imap/mailbox.h, MAX_MAILBOX_NAME, from 3.8 on MAX_MAILBOX_CREATENAME).
const maxName = 490

// maxEntered is the longest name that every release's ctl_mboxlist -u takes: in 3.6
// one less than can be made (Cyrus imap/ctl_mboxlist.c, do_undump).
const maxEntered = maxName - 1

// errName is the cause when a name is refused before Cyrus is asked.
var errName = errors.New("not a mailbox name that can be given to a cyrus program")

// checkName refuses names which a program would read as something else than
// one mailbox: empty or too long, with a control or a pattern character.
func checkName(name string) error {
	bad := name == "" || len(name) > maxName || strings.ContainsAny(name, "*%")
	for i := 0; i < len(name); i++ {
		bad = bad || name[i] < ' ' || name[i] == 0x7f
	}
	if bad {
		return fmt.Errorf("%w: %q", errName, name)
	}
	return nil
}

// batches cuts names into pieces that fit on a command line. Linux allows 2 MB
// there in all, other systems 256 kB.
func batches(names []string) [][]string {
	const maxNames, maxBytes = 1000, 100 << 10
	var all [][]string
	start, size := 0, 0
	for i, name := range names {
		if i > start && (i-start == maxNames || size+len(name) > maxBytes) {
			all = append(all, names[start:i])
			start, size = i, 0
		}
		size += len(name) + 1
	}
	if start < len(names) {
		all = append(all, names[start:])
	}
	return all
}

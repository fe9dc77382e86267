package reconstruct

import (
	"regexp"
	"strings"
)

// upkeep are the lines of the log in which nothing is wrong. Cyrus's programs log to
// standard error too, and any of them that writes can come to these: a database was made
// smaller, needed not to be (another process had done it), or was put in order after a
// crash (lib/cyrusdb_twoskip.c, mycheckpoint, delayed checkpoint and recovery; 2.x
// lib/cyrusdb_skiplist.c); a lock was held for more than a second, as on a busy machine
// (lib/mappedfile.c, mappedfile_unlock; imap/mailbox.c, mailbox_unlock_index); what is
// done is written down, with "auditlog: yes"; Cyrus was never started, so that databases are put in
// order whenever they are opened (lib/cyrusdb_skiplist.c, myinit). From 3.12 on they also tell when they end
// that they log debug messages no more. What a line is known by is in front of any name of a
// mailbox in it, which its user chose.
var upkeep = regexp.MustCompile(`^\S+\[\d+\]: (?:` +
	`(?:twoskip|skiplist): (?:checkpointed |recovered |delayed checkpoint not needed for |no file to delayed checkpoint for )|` +
	`(?:skiplist|mappedfile|mailbox): longlock |` +
	`auditlog: |` +
	`skipstamp is missing, |DBERROR: (?:read failed|skipstamp unreadable|reading /.*/skipstamp), assuming the worst: |` +
	`debug logging turned off)`)

// withoutUpkeep takes these lines and the space around the rest out of what a program
// said.
func withoutUpkeep(said string) string {
	var rest strings.Builder
	for line := range strings.Lines(said) {
		if !upkeep.MatchString(line) {
			rest.WriteString(line)
		}
	}
	return strings.TrimSpace(rest.String())
}

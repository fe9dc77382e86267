package reconstruct

import (
	"regexp"
	"strings"
)

// upkeep are the lines of the log in which a database tells that it was made smaller or
// put in order after a crash (lib/cyrusdb_twoskip.c, mycheckpoint and recovery; 2.x
// lib/cyrusdb_skiplist.c), and anything that it was locked for more than a second, as on
// a busy machine (imap/mailbox.c mailbox_unlock_index, lib/mappedfile.c
// mappedfile_unlock). Cyrus's programs log to standard error too, and any of them
// that writes can come to it. From 3.12 on they also tell when they end that they log
// debug messages no more.
var upkeep = regexp.MustCompile(`^\S+\[\d+\]: (?:(?:twoskip|skiplist): (?:checkpointed|recovered) |\w+: longlock |debug logging turned off)`)

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

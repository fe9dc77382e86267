package reconstruct

import (
	"regexp"
	"strings"
)

// upkeep are the lines of the log in which a database tells that it was made smaller or
// put in order after a crash (lib/cyrusdb_twoskip.c, mycheckpoint and recovery; 2.x
// lib/cyrusdb_skiplist.c), and what programs of 3.12 say as they begin. Cyrus's programs
// log to standard error too, and any of them can come to it.
var upkeep = regexp.MustCompile(`^\S+\[\d+\]: (?:(?:twoskip|skiplist): (?:checkpointed|recovered) |debug logging turned (?:on|off)$)`)

// withoutUpkeep takes these lines and the space around the rest out of what a program
// said.
func withoutUpkeep(said string) string {
	var rest strings.Builder
	for line := range strings.Lines(said) {
		if !upkeep.MatchString(strings.TrimSuffix(line, "\n")) {
			rest.WriteString(line)
		}
	}
	return strings.TrimSpace(rest.String())
}

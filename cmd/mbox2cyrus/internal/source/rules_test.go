package source

import (
	"strings"
	"testing"
)

func TestWayBack(t *testing.T) {
	const vienna, utc = "--source-timezone Europe/Vienna", "--from-dates utc"
	leave := ", which may also be set in the environment (MBOX2CYRUS_…) or the --config file"
	for _, tt := range [][3]string{
		{vienna, "", "give " + vienna},
		{"", vienna, "leave out " + vienna + leave},
		{"--repair a " + vienna, vienna + " " + utc, "give --repair a, and leave out " + utc + leave},
		{strings.Join([]string{vienna, utc}, " "), "", "give " + vienna + " " + utc},
	} {
		if have := WayBack(tt[0], tt[1]); have != tt[2] {
			t.Errorf("from %q to %q: %q, want %q", tt[1], tt[0], have, tt[2])
		}
	}
}

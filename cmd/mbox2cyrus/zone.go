package main

import (
	"fmt"
	"strings"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
)

// machineZone is the zone of this machine by its offsets, if dates that name no zone are read in
// it, else "".
func (s *session) machineZone() string {
	if s.opts.rules.Timezone != "" || s.opts.rules.UTC {
		return "" // the ledger has that of each mailbox
	}
	return zoneOffsets(s.opts.location)
}

// holdToZone refuses to read dates in another zone than the last migrate did, where nobody named
// one: a shell and cron may differ in TZ, and messages that are in Cyrus would get other dates.
func (s *session) holdToZone(l *ledger.Ledger) error {
	was, is := l.Zone(), s.machineZone()
	if l.Len() == 0 || was == "" || is == "" || was == is {
		return nil
	}
	return fmt.Errorf("%w: the runs recorded in %s read dates that name no zone in this machine's, which was another one then: %s from UTC in winter and summer, now %s; "+
		"set TZ as then (or undo all users, and give --source-timezone from then on); nothing was touched", target.ErrConfig, s.state, was, is)
}

// zoneOffsets describes a zone by its offsets from UTC in January and July, since 1990, as often
// as they changed: its name says less, as that of /etc/localtime is Local.
func zoneOffsets(zone *time.Location) string {
	var offsets []string
	for year := 1990; year <= 2025; year++ {
		at := func(month time.Month) string {
			return time.Date(year, month, 1, 12, 0, 0, 0, zone).Format("-07:00")
		}
		if now := at(time.January) + "/" + at(time.July); len(offsets) == 0 || offsets[len(offsets)-1] != now {
			offsets = append(offsets, now)
		}
	}
	return strings.Join(offsets, " ")
}

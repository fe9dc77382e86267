package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Of what one byte of mail takes on the disk, in hundredths: in a tar file, and in a spool,
// where each message ends in a block that is not full.
const (
	tarShare   = 110
	spoolShare = 140
)

// Spools that a round leaves, and that the preparation for all rounds leaves.
const (
	roundSpools    = 6
	preparedSpools = 1
	archives       = 2
)

// checkSpace refuses a run that cannot end for lack of space. Nothing is removed on the way,
// unless there is a rest after each round: see tidy.
func (b *bench) checkSpace() error {
	kept := func(rounds int) int64 {
		if b.rest > 0 {
			return 1
		}
		return int64(rounds)
	}
	host := func(bytes int64, rounds int) int64 {
		spools := kept(rounds*len(b.states))*roundSpools + preparedSpools
		return bytes + (spools*spoolShare+archives*tarShare)*bytes/100
	}
	need := host(b.bytes+b.bytes/10, b.rounds)
	if b.bigBytes > 0 {
		need += host(b.bigBytes+b.bigBytes/10, b.bigRounds)
	}
	need += 2 * b.hugeBytes
	need += (1 + kept(b.rivalRounds)*int64(len(allRivals))*spoolShare/100) * b.bytes
	var fs unix.Statfs_t
	if err := unix.Statfs(b.scratch, &fs); err != nil {
		return fmt.Errorf("free space of %s: %w", b.scratch, err)
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < need {
		return fmt.Errorf("%s has %d GB free and this run needs about %d GB: give fewer -rounds, a smaller host, another -dir, or -rest 7m", b.scratch, free>>30, need>>30)
	}
	return nil
}

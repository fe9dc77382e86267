// Package lockwait waits for a lock that nobody may have any more. A run that was killed while
// it started a program leaves its locks to the new process, which lets go of them when it
// executes the program: some milliseconds later, or more on a busy machine.
package lockwait

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Longest is enough for that.
const Longest = 2 * time.Second

// check is how often a lock is tried.
const check = 10 * time.Millisecond

// For tries a lock until it is not refused for somebody else's (EAGAIN, EACCES; fcntl(2) and
// flock(2)), or the time is over, and returns what the last try did.
func For(longest time.Duration, try func() error) error {
	for end := time.Now().Add(longest); ; time.Sleep(check) {
		err := try()
		if !Refused(err) || time.Now().After(end) {
			return err
		}
	}
}

// Refused reports whether a lock was refused because somebody else has it.
func Refused(err error) bool { return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) }

package source

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"mbox2cyrus/mbox"
)

var (
	// ErrPlace marks what is not where the settings have it: another setting mends it, or a mount.
	ErrPlace = errors.New("configuration")
	// ErrUsage marks settings of the host that can be those of none.
	ErrUsage = errors.New("usage")
)

// OpenHost opens the UW host, with [ErrPlace] or [ErrUsage] where the settings are to be put
// right. The system's refusal stays what it is.
func OpenHost(opts mbox.HostOptions) (*mbox.Host, error) {
	h, err := mbox.OpenHost(opts)
	switch {
	case errors.Is(err, mbox.ErrConfig): // which says itself what to do
	case errors.Is(err, fs.ErrInvalid):
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ELOOP):
		return nil, fmt.Errorf("%w: %w", ErrPlace, err)
	}
	return h, err
}

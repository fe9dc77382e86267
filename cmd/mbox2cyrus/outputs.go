package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
)

// checkOutputs refuses files to be written that flags name and that cannot be made. Some are
// first written when hours of work are done, and no run is to be begun in the ledger for what
// another path mends.
func checkOutputs(c *cli.Context) error {
	for _, flag := range []string{flagStatusFile, flagMetrics, flagMap, flagHelpDesk, flagOut} {
		if path := c.String(flag); path != "" {
			if err := canBeMade(path); err != nil {
				return fmt.Errorf("%w: --%s: %w", target.ErrConfig, flag, err)
			}
		}
	}
	return nil
}

var errNoFile = errors.New("it is a device, a FIFO or a socket, and a file would take its place; name a file")

// isReplaceable reports whether a file may get the name path. /dev/null, and /dev/stdout wherever
// that leads, would be gone for the whole machine.
func isReplaceable(path string) bool {
	if target, err := os.Readlink(path); err == nil && strings.HasPrefix(target, "/proc/") {
		return false
	}
	info, err := os.Stat(path)
	return err != nil || info.Mode().IsRegular() || info.IsDir()
}

// canBeMade returns why a file at path cannot be made or replaced, if it is known before.
func canBeMade(path string) error {
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return &os.PathError{Op: "write", Path: path, Err: unix.EISDIR}
	}
	if !isReplaceable(path) {
		return &os.PathError{Op: "write", Path: path, Err: errNoFile}
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &os.PathError{Op: "write", Path: path, Err: unix.ENOTDIR}
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil { // says EROFS too
		return &os.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}

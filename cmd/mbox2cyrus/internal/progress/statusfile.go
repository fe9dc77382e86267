package progress

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// writeStatus replaces the status file, so that who reads it finds all of an old or all
// of a new one. It is not synced: it is of no use after a crash. Who may read it, the
// umask says.
func (d *Display) writeStatus(s report.Status) error {
	path := d.opts.StatusFile
	if path == "" {
		return nil
	}
	content, err := d.opts.Report.StatusFile(s)
	if err == nil {
		err = replace(path, content)
	}
	if err != nil {
		return fmt.Errorf("--status-file: %w", err)
	}
	return nil
}

func replace(path string, content []byte) error {
	other := path + "." + strconv.Itoa(os.Getpid())
	create := func() (*os.File, error) {
		return os.OpenFile(other, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o644)
	}
	f, err := create()
	if errors.Is(err, fs.ErrExist) { // of a process that had this number and was killed
		if err := os.Remove(other); err != nil {
			return err
		}
		f, err = create()
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(other))
	}
	if err := os.Rename(other, path); err != nil {
		return errors.Join(err, os.Remove(other))
	}
	return nil
}

package held

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Each calls do for every item that is held of the mailbox with that unique id, in the
// order in which they were met. There must be a list: an error wraps [fs.ErrNotExist]
// where there is none.
func Each(dir, uniqueID string, do func(Item) error) (err error) {
	f, err := os.OpenFile(listPath(dir, uniqueID), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("held mail: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	br := bufio.NewReaderSize(f, 64<<10)
	for n := 1; ; n++ {
		line, err := br.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("held mail: %w", err)
		}
		var it Item
		if err := json.Unmarshal(line, &it); err != nil {
			return fmt.Errorf("held mail: %s: line %d: %w", f.Name(), n, err)
		}
		if err := do(it); err != nil {
			return err
		}
	}
}

// MboxPath is the file with the bytes of what is held of the mailbox with that unique id.
func MboxPath(dir, uniqueID string) string { return mboxPath(dir, uniqueID) }

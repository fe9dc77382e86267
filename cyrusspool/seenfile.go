package cyrusspool

import (
	"errors"
	"fmt"
	"path/filepath"
)

// WriteSeenFile writes states as a flat file to path, which lies below root (Cyrus's
// configdirectory), and makes the directories that are missing. A file that is there is
// replaced. The file is on the disk when WriteSeenFile returns.
func WriteSeenFile(root, path string, states map[string]SeenState, o Owner) error {
	content, err := AppendSeen(nil, states)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return fmt.Errorf("seen state: %w", err)
	}
	return o.Do(func() (err error) {
		dir, err := makeDir(root, filepath.Dir(rel), o)
		if err != nil {
			return fmt.Errorf("seen state: %w", err)
		}
		defer func() { err = errors.Join(err, dir.Close()) }()
		return writeOver(dir, filepath.Base(rel), content, o)
	})
}

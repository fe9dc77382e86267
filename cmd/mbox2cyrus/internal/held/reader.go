package held

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
			return fmt.Errorf("%w: %s: line %d: %w", ErrLost, f.Name(), n, err)
		}
		if err := do(it); err != nil {
			return err
		}
	}
}

// ErrLost is wrapped where what is held is not, or not all, there any more.
var ErrLost = errors.New("what is held is lost")

// Check compares the mbox file of the mailbox with that unique id with the size that it had, and
// with its SHA-1 if read is set: an error wraps [ErrLost] if they are others.
func Check(ctx context.Context, dir, uniqueID string, size int64, sum string, read bool) (err error) {
	path := mboxPath(dir, uniqueID)
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is gone", ErrLost, path)
	}
	if err != nil {
		return fmt.Errorf("held mail: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("held mail: %w", err)
	case sum != "" && info.Size() != size:
		return fmt.Errorf("%w: %s has %d bytes, had %d", ErrLost, path, info.Size(), size)
	case sum == "" || !read:
		return nil
	}
	h, buf := sha1.New(), make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		h.Write(buf[:n]) // a hash never fails
		if err == io.EOF {
			break
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("held mail: %w", err)
		}
	}
	if now := hex.EncodeToString(h.Sum(nil)); now != sum {
		return fmt.Errorf("%w: %s has SHA-1 %s, had %s", ErrLost, path, now, sum)
	}
	return nil
}

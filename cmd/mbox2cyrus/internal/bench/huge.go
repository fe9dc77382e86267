package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// huge tells the peak of the program's memory when one message is huge.
func (b *bench) huge() (err error) {
	if err := b.room(2*b.hugeBytes, 0); err != nil {
		return err
	}
	root := filepath.Join(b.scratch, "huge-host")
	if err := makeHugeHost(root, b.hugeBytes); err != nil {
		return err
	}
	srv, err := cyrustest.New(filepath.Join(b.scratch, "huge"), cyrustest.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	t := table{{fmt.Sprintf("with a message of %d MB", b.hugeBytes>>20), "seconds", "peak MB"}}
	for _, step := range []struct {
		name, command string
		more          []string
	}{
		{"whole migrate, verified", "migrate", nil},
		{"the same again, nothing changed", "migrate", nil},
		{"verify --level index", "verify", []string{"--level", "index"}},
		{"verify --level content", "verify", []string{"--level", "content"}},
	} {
		s, err := b.timed(warm, []string{root}, func() (sample, error) {
			return b.program(b.migration(step.command, root, srv.Conf, filepath.Join(b.scratch, "huge-state"), step.more...)...)
		})
		if err != nil {
			return err
		}
		t = append(t, []string{step.name, fmt.Sprintf("%.2f", s.wall.Seconds()), fmt.Sprintf("%.1f", peak([]sample{s}))})
	}
	b.progress("one message")
	fmt.Println()
	t.print()
	return nil
}

// Package resources asks what this machine lets a run have: open files, the size of a
// file, memory, and room on its file systems. What is short is said before anything is
// written, and what would mend it.
package resources

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Unlimited stands for no limit.
const Unlimited = math.MaxInt64

// Process is what this process and the programs that it starts may have.
type Process struct {
	Files    int64 // open at a time
	FileSize int64 // bytes of one file
	Memory   int64 // bytes
	MemoryBy string
}

// Limits asks the system. Go's runtime has raised the limit of open files to the hard one
// by then (syscall/rlimit.go).
func Limits() (p Process, err error) {
	p.Memory = Unlimited
	for _, limit := range []struct {
		what int
		name string
		to   *int64
	}{
		{unix.RLIMIT_NOFILE, "", &p.Files},
		{unix.RLIMIT_FSIZE, "", &p.FileSize},
		{unix.RLIMIT_AS, "ulimit -v", nil},
		{unix.RLIMIT_DATA, "ulimit -d", nil},
	} {
		var r unix.Rlimit
		if err := unix.Getrlimit(limit.what, &r); err != nil {
			return p, fmt.Errorf("limits of this process: %w", err)
		}
		n := int64(Unlimited)
		if r.Cur < Unlimited { // RLIM_INFINITY is above
			n = int64(r.Cur)
		}
		if limit.to != nil {
			*limit.to = n
		} else {
			p.atMost(n, limit.name)
		}
	}
	return p, p.controlGroups("/proc/self/cgroup", "/sys/fs/cgroup")
}

func (p *Process) atMost(n int64, by string) {
	if n < p.Memory {
		p.Memory, p.MemoryBy = n, by
	}
}

// controlGroups lowers Memory to what the control groups of this process allow: each of
// them up to the root (kernel: admin-guide/cgroup-v2.rst, memory.max; cgroup-v1/memory.rst,
// memory.limit_in_bytes). A system without them sets no such limit.
func (p *Process) controlGroups(self, mount string) (err error) {
	f, err := os.Open(self)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("control groups of this process: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		id, rest, _ := strings.Cut(lines.Text(), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		switch {
		case id == "0" && controllers == "":
			p.groupsUpFrom(mount, path, "memory.max")
		case controllers == "memory":
			p.groupsUpFrom(filepath.Join(mount, "memory"), path, "memory.limit_in_bytes")
		}
	}
	return nil
}

func (p *Process) groupsUpFrom(mount, path, file string) {
	for {
		name := filepath.Join(mount, path, file)
		// In a container the path may be one that is not mounted: that is no limit.
		if b, err := os.ReadFile(name); err == nil {
			// "max", or for version 1 a number beyond all memory, is no limit.
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n < 1<<60 {
				p.atMost(n, name)
			}
		}
		if path = filepath.Dir(path); path == "/" || path == "." {
			return
		}
	}
}

// What users at a time take, measured on runs of one to sixteen, and half as much again:
// 30 open files for one, 98 for sixteen; 35 MB for this program, and each has a program
// of Cyrus's beside it.
const (
	filesAtAll, filesForEach   = 40, 12
	filesToSync                = 32 // each, where files are synced one by one (cyrusspool.SyncFS)
	memoryAtAll, memoryForEach = 64 << 20, 32 << 20
)

// Jobs returns how many of jobs users at a time the limits allow, and why not all; 0: not
// even one.
func (p Process) Jobs(jobs int, oneByOne bool) (n int, why string) {
	each := int64(filesForEach)
	if oneByOne {
		each += filesToSync
	}
	fit := int64(jobs)
	if can := (p.Files - filesAtAll) / each; can < fit {
		fit = max(can, 0)
		why = fmt.Sprintf("%d users at a time need about %d open files, and %d are allowed (ulimit -Hn %d, or LimitNOFILE= of the service, allows them)",
			jobs, filesAtAll+each*int64(jobs), p.Files, filesAtAll+each*int64(jobs))
	}
	if can := (p.Memory - memoryAtAll) / memoryForEach; can < fit {
		fit = max(can, 0)
		why = fmt.Sprintf("%d users at a time need about %d MB of memory, and %s allows %d MB",
			jobs, (memoryAtAll+memoryForEach*int64(jobs))>>20, p.MemoryBy, p.Memory>>20)
	}
	return int(fit), why
}

// File returns what is wrong with writing a file of so many bytes, "" if nothing is.
func (p Process) File(bytes int64) string {
	if bytes <= p.FileSize {
		return ""
	}
	return fmt.Sprintf("files may have %d bytes at most here, and one of up to about %d is to be written: run it with ulimit -f unlimited", p.FileSize, bytes)
}

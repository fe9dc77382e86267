package resources

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestJobs(t *testing.T) {
	plenty := Process{Files: Unlimited, FileSize: Unlimited, Memory: Unlimited}
	for _, tt := range []struct {
		name     string
		limits   Process
		oneByOne bool
		want     int
		says     string
	}{
		{"plenty", plenty, false, 8, ""},
		{"files", Process{Files: 100, Memory: Unlimited}, false, 5, "need about 136 open files, and 100 are allowed"},
		{"files, synced one by one", Process{Files: 100, Memory: Unlimited}, true, 1, "need about 392 open files"},
		{"too few files", Process{Files: 20, Memory: Unlimited}, false, 0, "20 are allowed"},
		{"memory", Process{Files: Unlimited, Memory: 200 << 20, MemoryBy: "ulimit -v"}, false, 4, "need about 320 MB of memory, and ulimit -v allows 200 MB"},
		{"too little memory", Process{Files: Unlimited, Memory: 64 << 20, MemoryBy: "x"}, false, 0, "x allows 64 MB"},
	} {
		n, why := tt.limits.Jobs(8, tt.oneByOne)
		if n != tt.want || !strings.Contains(why, tt.says) || (why == "") != (tt.says == "") {
			t.Errorf("%s: %d, %q; want %d, %q", tt.name, n, why, tt.want, tt.says)
		}
	}
	if why := (Process{FileSize: 10}).File(11); why == "" {
		t.Error("a file of 11 bytes may be written where 10 are allowed")
	}
}

func TestControlGroups(t *testing.T) {
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, self string
		files      map[string]string
		want       int64
		by         string
	}{
		{"version 2", "0::/system.slice/x.service\n", map[string]string{"system.slice/x.service/memory.max": "max\n", "system.slice/memory.max": "300\n"}, 300, "system.slice/memory.max"},
		{"version 1", "4:memory:/a/b\n0::/\n", map[string]string{"memory/a/b/memory.limit_in_bytes": "200\n", "memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, 200, "memory/a/b/memory.limit_in_bytes"},
		{"root of version 1", "4:memory:/\n", map[string]string{"memory/memory.limit_in_bytes": "100\n"}, 100, "memory/memory.limit_in_bytes"},
		{"none", "0::/x\n", nil, Unlimited, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(filepath.Join(dir, "self"), tt.self)
			for path, text := range tt.files {
				write(filepath.Join(dir, "cgroup", path), text)
			}
			p := Process{Memory: Unlimited}
			if err := p.controlGroups(filepath.Join(dir, "self"), filepath.Join(dir, "cgroup")); err != nil {
				t.Fatal(err)
			}
			if by := strings.TrimPrefix(p.MemoryBy, filepath.Join(dir, "cgroup")+"/"); p.Memory != tt.want || by != tt.by {
				t.Errorf("%d by %q, want %d by %q", p.Memory, by, tt.want, tt.by)
			}
		})
	}
}

// TestShort adds up what goes to one file system.
func TestShort(t *testing.T) {
	dir := t.TempDir()
	room, err := RoomIn(filepath.Join(dir, "not", "there", "yet"), os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	half := room.Bytes/2 + room.Bytes/8 // others write there too
	needs := []Need{
		{What: "one", Dir: dir, Bytes: half, UID: os.Getuid()},
		{What: "two", Dir: filepath.Join(dir, "later"), Bytes: half, UID: os.Getuid()},
	}
	if short, err := Short(needs[:1]); err != nil || len(short) > 0 {
		t.Errorf("one: %q %v", short, err)
	}
	short, err := Short(needs)
	if err != nil || len(short) != 1 || !strings.HasPrefix(short[0], "one, two: too small") {
		t.Errorf("both: %q %v", short, err)
	}
	needs[1].UID++ // another user writes there: it is one file system still
	if short, err = Short(needs); err != nil || len(short) != 2 {
		t.Errorf("of two users: %q %v", short, err)
	}
}

// TestAvailable: FUSE file systems may have blocks that are larger than what they count in.
func TestAvailable(t *testing.T) {
	for _, tt := range []struct {
		st   unix.Statfs_t
		want int64
	}{
		{unix.Statfs_t{Bavail: 3, Bsize: 1 << 20, Frsize: 4096}, 3 * 4096},
		{unix.Statfs_t{Bavail: 3, Bsize: 4096}, 3 * 4096}, // not told: one and the same
	} {
		if got := available(tt.st); got != tt.want {
			t.Errorf("%+v: %d bytes, want %d", tt.st, got, tt.want)
		}
	}
}

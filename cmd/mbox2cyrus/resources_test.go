package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/resources"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
)

// limited runs the program with a limit of prlimit(1), and returns its exit code and what
// it said.
func limited(t *testing.T, limit string, args ...string) (code int, said string) {
	t.Helper()
	prlimit, err := exec.LookPath("prlimit")
	if err != nil {
		t.Skip("prlimit is not installed: it sets the limits")
	}
	cmd := exec.Command(prlimit, append([]string{limit, "mbox2cyrus"}, args...)...)
	out, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestFewResources: what a run needs is looked at before anything is written.
func TestFewResources(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	if _, err := samplehost.Write(root, samplehost.Options{Seed: 7, Users: 3, Messages: 60, Plain: true, OmitMessages: true, Location: newYork(t)}); err != nil {
		t.Fatal(err)
	}
	flags := append(flagsFor(srv, root, state), "--jobs", "8")
	before := cyrusTree(t, srv)
	untouched := func(what string) {
		t.Helper()
		if diff := diffTrees(before, cyrusTree(t, srv)); diff != "" {
			t.Errorf("%s: Cyrus was changed:\n%s", what, diff)
		}
		if entries, err := os.ReadDir(state); err == nil && len(entries) > 0 || err != nil && !os.IsNotExist(err) {
			t.Errorf("%s: the state directory has %v (%v)", what, entries, err)
		}
	}
	for _, tt := range []struct{ limit, command, says string }{
		{"--nofile=30", "migrate", "not even one user at a time can be worked on: 8 users at a time need about"},
		{"--nofile=30", "plan", "not even one user at a time"},
		{"--fsize=15000", "migrate", "files may have 15000 bytes at most here"},
		{"--fsize=15000", "plan", "files may have 15000 bytes at most here"},
		{"--nofile=30", "doctor", "not even one user at a time"},
	} {
		if code, said := limited(t, tt.limit, append([]string{tt.command}, flags...)...); code != 1 || !strings.Contains(said, tt.says) {
			t.Errorf("%s %s: exit code %d, want 1 and %q:\n%s", tt.limit, tt.command, code, tt.says, said)
		}
		untouched(tt.limit + " " + tt.command)
	}
	if _, said := limited(t, "--nofile=64", append([]string{"doctor"}, flags...)...); !strings.Contains(said, "64 are allowed (ulimit -Hn") || !strings.Contains(said, "at a time then") {
		t.Errorf("doctor:\n%s", said)
	}

	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, size := range []string{"size=64k", "size=10m,nr_inodes=5"} {
		mountSmall(t, state, size)
		for _, command := range []string{"migrate", "plan"} {
			if o := runJSON(t, append([]string{command}, flags...)...); o.code != 1 || !strings.Contains(o.stderr, "state directory "+state+": too small") {
				t.Errorf("%s: %s: exit code %d\n%s", size, command, o.code, o.stderr)
			}
			untouched(size + " " + command)
		}
		if err := unix.Unmount(state, 0); err != nil {
			t.Fatal(err)
		}
	}

	// Fewer at a time is no reason to stop.
	code, said := limited(t, "--nofile=64:64", append([]string{"migrate"}, flags...)...)
	if code != 0 || !strings.Contains(said, "jobs-lowered") {
		t.Errorf("exit code %d\n%s", code, said)
	}
}

// mountSmall mounts a small file system at dir, for the time of the test.
func mountSmall(t *testing.T, dir, size string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, size+",mode=0700"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil && err != unix.EINVAL { // EINVAL: it was unmounted already
			t.Error(err)
		}
	})
}

// limitUser sets the hard limit, in KiB, of a user's disk quota; 0 for none.
func limitUser(t *testing.T, dir string, uid int, kib uint64) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() // only to name the file system
	// struct if_dqblk, with its limits of blocks alone (linux/quota.h, Q_SETQUOTA, QIF_BLIMITS)
	quota := [9]uint64{0: kib, 8: 1}
	if _, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, d.Fd(), 0x800008<<8, uintptr(uid), uintptr(unsafe.Pointer(&quota)), 0, 0); errno != 0 {
		t.Fatalf("quotactl: %v", errno)
	}
}

// TestDiskQuotaOfCyrus: the disk quota of Cyrus's user is the room there is, for the
// partition alone.
func TestDiskQuotaOfCyrus(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	image := filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "quota", image).CombinedOutput(); err != nil {
		t.Skipf("no disk quotas can be tried: mkfs.ext4: %v\n%s", err, out)
	}
	if out, err := exec.Command("mount", "-t", "ext4", "-o", "loop,usrquota", image, srv.Spool).CombinedOutput(); err != nil {
		t.Skipf("no ext4 with quotas can be mounted here (it takes root, a loop device and a kernel with CONFIG_QFMT_V2): %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", srv.Spool).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	if err := errors.Join(os.Remove(filepath.Join(srv.Spool, "lost+found")), os.Chown(srv.Spool, srv.UID, srv.GID)); err != nil {
		t.Fatal(err)
	}
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	if _, err := samplehost.Write(root, samplehost.Options{Seed: 7, Users: 3, Messages: 300, Plain: true, OmitMessages: true, Location: newYork(t)}); err != nil {
		t.Fatal(err)
	}
	flags := flagsFor(srv, root, state)
	says := fmt.Sprintf("(the disk quota of uid %d)", srv.UID)
	before := cyrusTree(t, srv)

	limitUser(t, srv.Spool, srv.UID, 64)
	for _, command := range []string{"plan", "migrate"} {
		o := runJSON(t, append([]string{command}, flags...)...)
		if o.code != 1 || !strings.Contains(o.stderr, "partition default: too small") || !strings.Contains(o.stderr, says) {
			t.Errorf("%s: exit code %d, want 1 and %q\n%s", command, o.code, says, o.stderr)
		}
		if diff := diffTrees(before, cyrusTree(t, srv)); diff != "" {
			t.Errorf("%s: Cyrus was changed:\n%s", command, diff)
		}
	}

	// Enough as far as migrate can guess, but not for the blocks of small messages. Root
	// writes them in spite of the quota; Cyrus's programs cannot go on then.
	size := int64(0)
	for path, s := range snapshot(t, root) {
		if s.mode.IsRegular() && strings.Contains(path, "/mail/") {
			size += s.size
		}
	}
	limitUser(t, srv.Spool, srv.UID, uint64(size+size/2)>>10)
	o := runJSON(t, append([]string{"migrate"}, flags...)...)
	if full := o.problems("no-space"); o.code != 1 || len(full) != 1 || !strings.Contains(full[0]["text"].(string), says) {
		t.Errorf("over the quota: exit code %d, %v; want 1 and %q\n%s", o.code, full, says, o.stderr)
	}

	limitUser(t, srv.Spool, srv.UID, 32<<10)
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Errorf("with enough: exit code %d\n%s", o.code, o.stderr)
	}
	if o := runJSON(t, append([]string{"verify", "--level", "content"}, flags...)...); o.code != 0 {
		t.Errorf("verify: exit code %d\n%s", o.code, o.stderr)
	}
}

// TestRoomOfSubvolumes: the subvolumes of one btrfs have one room together, and a device number
// each.
func TestRoomOfSubvolumes(t *testing.T) {
	withOwnMounts(t, func(t *testing.T) {
		d := newDisk(t, btrfs, t.TempDir(), "disk")
		var needs []resources.Need
		room, err := resources.RoomIn(d.mounted, os.Getuid())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"spool", "state"} {
			dir := filepath.Join(d.mounted, name)
			if out, err := exec.Command("btrfs", "subvolume", "create", dir).CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			needs = append(needs, resources.Need{What: name, Dir: dir, Bytes: room.Bytes * 2 / 3, UID: os.Getuid()})
		}
		if deviceOf(t, needs[0].Dir) == deviceOf(t, needs[1].Dir) {
			t.Fatal("they have one number")
		}
		if short, err := resources.Short(needs); err != nil || len(short) != 1 || !strings.HasPrefix(short[0], "spool, state: too small") {
			t.Errorf("%q %v", short, err)
		}
		for _, n := range needs {
			if short, err := resources.Short([]resources.Need{n}); err != nil || len(short) > 0 {
				t.Errorf("%q %v", short, err)
			}
		}
	})
}

// TestMetapartitionIsTooSmall: index and cache are on a file system of their own that has no room
// for those of this mail. That is told before anything is written.
func TestMetapartitionIsTooSmall(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
	srv := cyrustest.ForTest(t, cyrustest.Options{MetaFiles: "header index cache"})
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	if _, err := samplehost.Write(root, samplehost.Options{Seed: 7, Users: 3, Messages: 900, Plain: true, OmitMessages: true, Location: newYork(t)}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", srv.Meta, "tmpfs", 0, fmt.Sprintf("size=64k,mode=0755,uid=%d,gid=%d", srv.UID, srv.GID)); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(srv.Meta, 0); err != nil {
			t.Error(err)
		}
	})
	o := runJSON(t, append([]string{"plan"}, flagsFor(srv, root, state)...)...)
	if o.code != 1 || !strings.Contains(o.stderr, "metapartition "+srv.Meta) {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// otherDevice mounts a disk again as another device. The old one stays taken meanwhile.
func (d *disk) otherDevice() {
	d.t.Helper()
	was := d.dev
	d.unmount()
	out, err := exec.Command("losetup", "--find", "--show", d.image).CombinedOutput()
	if err != nil {
		d.t.Fatalf("%v %s", err, out)
	}
	d.dev = strings.TrimSpace(string(out))
	d.t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", was).CombinedOutput(); err != nil {
			d.t.Errorf("%v %s", err, out)
		}
	})
	if err := d.mount(); err != nil {
		d.t.Fatal(err)
	}
}

// deviceOf is the device number of the file system that a path is in.
func deviceOf(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Dev
}

// TestOtherDeviceNumber: between two runs the machine is started anew, and the file systems of
// Cyrus and of the host have other device numbers, as those of btrfs and NFS have whenever they
// are mounted. Nothing has changed by that: not a folder, and not what Cyrus has.
func TestOtherDeviceNumber(t *testing.T) { withOwnMounts(t, runsOnOtherDevices) }

func runsOnOtherDevices(t *testing.T) {
	begun := func(t *testing.T) *cutGround {
		g := newCutGround(t, ext4)
		g.firstMail()
		g.host.write("home/joe/mbox", letter(7)) // joe's INBOX is in two places
		g.adopt()
		g.must(g.migrate()...)
		return g
	}
	again := func(t *testing.T, g *cutGround) {
		t.Helper()
		for _, d := range g.disks {
			was := deviceOf(t, d.mounted)
			if d.otherDevice(); deviceOf(t, d.mounted) == was {
				t.Fatal("it has the same number again")
			}
		}
	}
	t.Run("nothing to do", func(t *testing.T) {
		g := begun(t)
		plan := filepath.Join(t.TempDir(), "plan")
		g.must(append([]string{"plan", "--quiet", "--out", plan}, g.flags()...)...)
		again(t, g)
		for _, args := range [][]string{g.migrate(), g.migrate("--plan", plan)} {
			o := runJSON(t, args...)
			if sum := o.summary(t); o.code != 0 || sum["folders"] == 0.0 || sum["folders_unchanged"] != sum["folders"] {
				t.Errorf("%v: exit code %d, %v folders, %v of them unchanged\n%s", args, o.code, sum["folders"], sum["folders_unchanged"], o.stderr)
			}
		}
	})
	t.Run("undo", func(t *testing.T) {
		g := begun(t)
		again(t, g)
		g.must(append([]string{"undo", "--quiet", "--all"}, cyrusFlagsFor(g.srv, g.state)...)...)
	})
	t.Run("undo of a merge", func(t *testing.T) {
		g := newCutGround(t, ext4)
		g.host.write("var/mail/joe", letter(1))
		g.must(g.migrate()...)
		if err := os.RemoveAll(g.state); err != nil {
			t.Fatal(err)
		}
		g.host.write("var/mail/joe", letter(1)+letter(2))
		g.must(g.migrate("--merge")...)
		again(t, g)
		g.must(append([]string{"undo", "--quiet", "--all"}, cyrusFlagsFor(g.srv, g.state)...)...)
	})
	t.Run("retire", func(t *testing.T) {
		g := begun(t)
		again(t, g)
		g.must(g.retire()...)
	})
	t.Run("verify after retire", func(t *testing.T) {
		g := begun(t)
		g.must(g.retire()...)
		again(t, g)
		g.must(append([]string{"verify", "--quiet"}, g.flags()...)...)
		g.must("retire", "--quiet", "--restore", "--state", g.state)
	})
}

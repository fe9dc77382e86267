package resources

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// quotaUser has the quotas.
const quotaUser = 64001

// quotaDisk is an ext4 that knows quotas of users and of projects; options of mount say
// which hold.
func quotaDisk(t *testing.T, options string) (dir string) {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		t.Skip("no mkfs.ext4: install e2fsprogs to have disk quotas tried for real")
	}
	base, err := os.MkdirTemp("", "quota-") // not t.TempDir, which is closed to quotaUser
	if err == nil {
		err = os.Chmod(base, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	image, dir := filepath.Join(base, "image"), filepath.Join(base, "disk")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 64<<20), os.Mkdir(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", "-F", "-b", "4096", "-O", "quota,project", "-E", "quotatype=usrquota:prjquota", image).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4 knows no quotas: %v\n%s", err, out)
	}
	if out, err := exec.Command("mount", "-t", "ext4", "-o", "loop,"+options, image, dir).CombinedOutput(); err != nil {
		t.Skipf("no ext4 with quotas can be mounted here (it takes root, a loop device and a kernel with CONFIG_QFMT_V2): %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return dir
}

const (
	setQuota   = 0x800008 // Q_SETQUOTA (linux/quota.h)
	ofUser     = 0
	ofProject  = 2
	limitsOnly = 1 | 4           // QIF_BLIMITS, QIF_ILIMITS
	withTimes  = 1 | 4 | 16 | 32 // QIF_BTIME, QIF_ITIME
)

func limit(t *testing.T, dir string, kind, id int, q diskQuota) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() // only to name the file system
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, d.Fd(), uintptr(setQuota<<8)|uintptr(kind), uintptr(id), uintptr(unsafe.Pointer(&q)), 0, 0)
	if errno == unix.ENOSYS {
		t.Skip("the kernel has no quotactl_fd (Linux 5.14)")
	}
	if errno != 0 {
		t.Fatalf("quotactl: %v", errno)
	}
}

// fill writes as the user until the disk takes no more, and returns how much it took.
func fill(t *testing.T, path string) int64 {
	t.Helper()
	cmd := exec.Command("dd", "if=/dev/zero", "of="+path, "bs=4096", "count=20000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: quotaUser, Gid: quotaUser}}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "quota") && !strings.Contains(string(out), "space") {
		t.Fatalf("the disk took everything: %v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestDiskQuota compares what is told of a user's room with what he can write.
func TestDiskQuota(t *testing.T) {
	dir := quotaDisk(t, "usrquota,prjquota")
	mail := filepath.Join(dir, "mail")
	if err := errors.Join(os.Mkdir(mail, 0o755), os.Chown(mail, quotaUser, quotaUser)); err != nil {
		t.Fatal(err)
	}
	room := func() Room {
		t.Helper()
		r, err := RoomIn(filepath.Join(mail, "not", "there", "yet"), quotaUser)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := room(); r.By != "" || r.Bytes < 32<<20 {
		t.Errorf("without a quota: %v", r)
	}
	past := uint64(time.Now().Add(-time.Hour).Unix())
	future := uint64(time.Now().Add(time.Hour).Unix())
	for _, tt := range []struct {
		name   string
		used   int64
		quota  diskQuota
		bytes  int64
		inodes int64
	}{
		{"hard", 0, diskQuota{hardBlocks: 2048, hardInodes: 40, valid: limitsOnly}, 2044 << 10, 39}, // the directory is his
		{"partly used", 1 << 20, diskQuota{hardBlocks: 2048, hardInodes: 40, valid: limitsOnly}, 1020 << 10, 38},
		{"of inodes", 0, diskQuota{hardInodes: 2, valid: limitsOnly}, 0, 1},
		{"soft, for a while", 1 << 20, diskQuota{hardBlocks: 2048, softBlocks: 512, blockTime: future, valid: withTimes}, 1020 << 10, 0},
		{"soft, and the time is over", 1 << 20, diskQuota{hardBlocks: 4096, softBlocks: 512, blockTime: past, valid: withTimes}, 0, 0},
		{"soft only, and the time is over", 1 << 20, diskQuota{softBlocks: 512, blockTime: past, valid: withTimes}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limit(t, dir, ofUser, quotaUser, diskQuota{valid: withTimes})
			used := filepath.Join(mail, "used")
			if tt.used > 0 {
				if err := errors.Join(os.WriteFile(used, make([]byte, tt.used), 0o600), os.Chown(used, quotaUser, quotaUser)); err != nil {
					t.Fatal(err)
				}
				defer os.Remove(used) // the next one finds it else
			}
			limit(t, dir, ofUser, quotaUser, tt.quota)
			r := room()
			if tt.quota.hardInodes > 0 && r.Inodes != tt.inodes || !strings.Contains(r.String(), "the disk quota of uid 64001") {
				t.Errorf("%v", r)
			}
			if tt.quota.hardBlocks == 0 && tt.quota.softBlocks == 0 {
				return
			}
			if r.Bytes != tt.bytes {
				t.Errorf("%v, want %d bytes", r, tt.bytes)
			}
			file := filepath.Join(mail, "file")
			defer os.Remove(file) // likewise
			// A file of many pieces has a block or two for itself.
			if took := fill(t, file); took > r.Bytes || took < r.Bytes-16<<10 {
				t.Errorf("%v, but %d bytes could be written", r, took)
			}
		})
	}
	limit(t, dir, ofUser, quotaUser, diskQuota{valid: withTimes})

	t.Run("of a project", func(t *testing.T) {
		const project = 7
		setProject(t, mail, project)
		limit(t, dir, ofProject, project, diskQuota{hardBlocks: 1024, valid: limitsOnly})
		r := room()
		if took := fill(t, filepath.Join(mail, "file")); took > r.Bytes || took < r.Bytes-16<<10 {
			t.Errorf("%v, but %d bytes could be written", r, took)
		}
	})
}

// TestDiskQuotaThatDoesNotHold has limits that the kernel keeps, and does not enforce.
func TestDiskQuotaThatDoesNotHold(t *testing.T) {
	dir := quotaDisk(t, "prjquota")
	mail := filepath.Join(dir, "mail")
	if err := errors.Join(os.Mkdir(mail, 0o755), os.Chown(mail, quotaUser, quotaUser)); err != nil {
		t.Fatal(err)
	}
	limit(t, dir, ofUser, quotaUser, diskQuota{hardBlocks: 1024, valid: limitsOnly})
	r, err := RoomIn(mail, quotaUser)
	if err != nil {
		t.Fatal(err)
	}
	if took := fill(t, filepath.Join(mail, "file")); r.By != "" || took < 32<<20 {
		t.Errorf("%v, but %d bytes could be written", r, took)
	}
}

// setProject has everything in a directory belong to a project.
func setProject(t *testing.T, dir string, project uint32) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() // only to name the directory
	const (
		setXattr = 0x401c5820 // FS_IOC_FSSETXATTR (linux/fs.h)
		inherit  = 0x200      // FS_XFLAG_PROJINHERIT
	)
	attr := struct {
		flags, extSize, extents, project, cowExtSize uint32
		_                                            [8]byte
	}{flags: inherit, project: project}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), setXattr, uintptr(unsafe.Pointer(&attr))); errno != 0 {
		t.Fatalf("project of %s: %v", dir, errno)
	}
}

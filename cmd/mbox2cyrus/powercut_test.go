package main

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/retire"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/cyrusspool"
)

// diskKind is a kind of file system. Its options have it mounted so that nothing but a sync
// puts anything on the disk: not the time, and not a rename over an old file.
type diskKind struct {
	name    string
	size    int64
	mkfs    []string
	options string
}

var (
	ext4  = diskKind{"ext4", 64 << 20, []string{"mkfs.ext4", "-q", "-F"}, "commit=3600,noauto_da_alloc"}
	xfs   = diskKind{"xfs", 320 << 20, []string{"mkfs.xfs", "-q", "-f"}, "noquota"}
	btrfs = diskKind{"btrfs", 256 << 20, []string{"mkfs.btrfs", "-q", "-f"}, "commit=3600,nodiscard"}
)

// disk is a file system of its own, whose power can be cut.
type disk struct {
	t                   *testing.T
	kind                diskKind
	image, dev, mounted string
}

// newDisk makes and mounts one. Where that cannot be done the test is skipped.
func newDisk(t *testing.T, kind diskKind, base, name string) *disk {
	t.Helper()
	d := &disk{t: t, kind: kind, image: filepath.Join(base, name+".img"), mounted: filepath.Join(base, name)}
	if err := errors.Join(os.Mkdir(d.mounted, 0o755), os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, kind.size)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(kind.mkfs[0], append(slices.Clone(kind.mkfs[1:]), d.image)...).CombinedOutput(); err != nil {
		t.Skipf("no power can be cut here, %s: %v %s", kind.mkfs[0], err, out)
	}
	out, err := exec.Command("losetup", "--find", "--show", d.image).CombinedOutput()
	if err != nil {
		t.Skipf("no power can be cut here, there is no loop device: %v %s", err, out)
	}
	d.dev = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		// It is not mounted if the test ended between two mounts.
		if err := unix.Unmount(d.mounted, unix.MNT_DETACH); err != nil && err != unix.EINVAL {
			t.Error(err)
		}
		if out, err := exec.Command("losetup", "--detach", d.dev).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, out)
		}
	})
	if err := d.mount(); err != nil {
		t.Skipf("no power can be cut here, mount: %v", err)
	}
	return d
}

func (d *disk) mount() error {
	return unix.Mount(d.dev, d.mounted, d.kind.name, 0, d.kind.options)
}

// unmount waits until those that were killed have let go of it.
func (d *disk) unmount() {
	d.t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err = unix.Unmount(d.mounted, 0); err != unix.EBUSY {
			break
		}
	}
	if err != nil {
		d.t.Fatalf("unmount %s: %v", d.mounted, err)
	}
}

// The ioctl that ends a file system at once, and its mode that does not even flush the
// journal: linux/fs.h FS_IOC_SHUTDOWN, FS_SHUTDOWN_FLAGS_NOLOGFLUSH (ext4 since Linux
// 4.11, fs/ext4/ioctl.c ext4_force_shutdown; XFS has always had it, XFS_IOC_GOINGDOWN).
const (
	ioctlShutdown      = 0x8004587d
	shutdownNoLogFlush = 2
)

// cut cuts the power of disks: what is not on them is lost. They come back as the next
// mount finds them, which replays the journal.
func cut(disks ...*disk) {
	for _, d := range disks {
		d.t.Helper()
		if d.kind.name == btrfs.name { // it has no such ioctl
			d.keepImage()
			continue
		}
		f, err := os.Open(d.mounted)
		if err != nil {
			d.t.Fatal(err)
		}
		err = unix.IoctlSetPointerInt(int(f.Fd()), ioctlShutdown, shutdownNoLogFlush)
		if err := errors.Join(err, f.Close()); err != nil {
			d.t.Skipf("no power can be cut here, the file system cannot be shut down: %v", err)
		}
	}
	for _, d := range disks {
		d.unmount()
		if d.kind.name == btrfs.name {
			d.putImage(d.image + ".cut")
		}
		if err := d.mount(); err != nil {
			d.t.Fatalf("after the cut: mount %s: %v", d.mounted, err)
		}
	}
}

// keepImage copies what is on the disk at one moment: what is written to it while it is copied
// has it copied again.
func (d *disk) keepImage() {
	d.t.Helper()
	written := func() string {
		b, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(d.dev), "stat"))
		if err != nil {
			d.t.Skipf("no power can be cut here: %v", err)
		}
		return strings.Join(strings.Fields(string(b))[4:7], " ") // Documentation/block/stat.rst
	}
	for before := ""; before != written(); {
		before = written()
		d.copyImage(d.image, d.image+".cut")
	}
}

func (d *disk) copyImage(from, to string) {
	d.t.Helper()
	if out, err := exec.Command("cp", "--sparse=always", from, to).CombinedOutput(); err != nil {
		d.t.Fatalf("%v %s", err, out)
	}
}

// commitJournal does what the kernel's timer else does at any time: names and sizes that
// were changed come to the disk, but of new files not what is in them.
func (d *disk) commitJournal() {
	d.t.Helper()
	if d.kind.name == btrfs.name { // there the sync of a file is one of that file
		d.commitTransaction()
		return
	}
	f, err := os.OpenFile(d.mounted, unix.O_TMPFILE|os.O_RDWR, 0o600) // the sync of any file does it
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// Ioctls that begin to put a transaction of btrfs on the disk, and wait for it: linux/btrfs.h
// BTRFS_IOC_START_SYNC, BTRFS_IOC_WAIT_SYNC.
const (
	ioctlStartSync = 0x80089418
	ioctlWaitSync  = 0x40089416
)

func (d *disk) commitTransaction() {
	d.t.Helper()
	f, err := os.Open(d.mounted)
	if err != nil {
		d.t.Fatal(err)
	}
	var transaction uint64
	for _, ioctl := range []uintptr{ioctlStartSync, ioctlWaitSync} {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ioctl, uintptr(unsafe.Pointer(&transaction))); errno != 0 {
			err = errors.Join(err, errno)
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		d.t.Fatal(err)
	}
}

// save keeps what is on the disks, and returns what brings exactly that back: inodes and
// times too, by which the ledger knows files.
func save(disks ...*disk) (restore func()) {
	unmounted := func(move func(d *disk)) {
		for _, d := range disks {
			d.t.Helper()
			d.unmount()
			move(d)
			if err := d.mount(); err != nil {
				d.t.Fatal(err)
			}
		}
	}
	unmounted(func(d *disk) { d.copyImage(d.image, d.image+".saved") })
	return func() { unmounted(func(d *disk) { d.putImage(d.image + ".saved") }) }
}

// putImage puts an earlier state on the disk, which is not mounted: what flushes the device of
// one that is syncs it.
func (d *disk) putImage(from string) {
	d.t.Helper()
	d.copyImage(from, d.image)
	if err := flushDevice(d.dev); err != nil {
		d.t.Fatal(err)
	}
}

// flushDevice makes the kernel forget what it has of a block device.
func flushDevice(dev string) error {
	f, err := os.Open(dev)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlSetInt(int(f.Fd()), unix.BLKFLSBUF, 0), f.Close())
}

// withOwnMounts runs a test in a process of its own that alone sees what it mounts. Else
// whoever makes a mount namespace meanwhile keeps a file system alive that is unmounted
// here, and the next mount would find it without power still.
func withOwnMounts(t *testing.T, test func(t *testing.T)) {
	const inside = "MBOX2CYRUS_TEST_OWN_MOUNTS"
	if os.Getenv(inside) != "" {
		test(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("no power can be cut here: only root can mount")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-test.v", "-test.run=^" + t.Name() + "$"}
	if end, ok := t.Deadline(); ok {
		args = append(args, fmt.Sprintf("-test.timeout=%v", time.Until(end)-5*time.Second))
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // makes all mounts private
	out, err := cmd.CombinedOutput()
	lines := slices.DeleteFunc(strings.Split(string(out), "\n"), func(line string) bool { return strings.HasPrefix(line, "=== ") })
	said := strings.Join(lines, "\n")
	switch {
	case errors.Is(err, unix.EPERM):
		t.Skipf("no power can be cut here: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, said)
	case strings.Contains(said, "--- SKIP"):
		t.Skip(said)
	default:
		t.Log(said)
	}
}

// cutGround is a ground on three disks, so that what one of them has says nothing of the
// others.
type cutGround struct {
	*ground
	disks []*disk
}

func newCutGround(t *testing.T, kind diskKind) *cutGround {
	t.Helper()
	base, err := os.MkdirTemp("", "powercut-")
	if err == nil {
		err = os.Chmod(base, 0o755) // Cyrus must get in
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	g := &cutGround{}
	for _, name := range []string{"cyrus", "state", "host"} {
		g.disks = append(g.disks, newDisk(t, kind, base, name))
	}
	g.ground = newGround(t, filepath.Join(g.disks[0].mounted, "cyrus"), g.disks[1].mounted, g.disks[2].mounted)
	return g
}

// TestPowerCut cuts the power of the disks that Cyrus, the state and the host are on, at
// system calls and at random times of every kind of run. After the cut everything that the
// ledger says is really there; run again, it comes to what a run that nobody disturbed
// comes to. MBOX2CYRUS_EVERY_FAULT cuts more often.
func TestPowerCut(t *testing.T) {
	withOwnMounts(t, func(t *testing.T) { cutEverywhere(t, ext4, 1, "power-cuts.md") })
}

// TestPowerCutXFS and TestPowerCutBtrfs do so on other file systems, which bring other things
// to the disk, and in another order.
func TestPowerCutXFS(t *testing.T) {
	withOwnMounts(t, func(t *testing.T) { cutEverywhere(t, xfs, 0, "power-cuts-xfs.md") })
}

func TestPowerCutBtrfs(t *testing.T) {
	withOwnMounts(t, func(t *testing.T) { cutEverywhere(t, btrfs, 0, "power-cuts-btrfs.md") })
}

func cutEverywhere(t *testing.T, kind diskKind, atTimes int, table string) {
	needStrace(t)
	if err := cyrustest.Available(); err != nil {
		t.Skip(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	atCalls := 1
	if everyFault {
		atCalls, atTimes = 12, 6
	}
	matrix := newKillMatrix(seed)
	t.Run("cuts", func(t *testing.T) {
		for _, p := range phases {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				g := newCutGround(t, kind)
				var kills []kill
				u := p.undisturbed(t, func(g *ground, args []string) { kills = matrix.count(g, p, args) })
				g.begin(p)
				restore := save(g.disks...)
				kills = cutPlaces(kills, atCalls, rand.New(rand.NewPCG(seed, uint64(len(p.name)))))
				for n := range atTimes {
					kills = append(kills, kill{phase: p, call: atRandom, n: n + 1})
				}
				for _, k := range kills {
					t.Run(fmt.Sprintf("%s/%d", k.call, k.n), func(t *testing.T) {
						restore()
						cutAndRunAgain(t, g, k, u, matrix)
					})
				}
			})
		}
	})
	matrix.show(t, "cut", table)
}

// cutPlaces chooses n system calls to cut at, half of them at syncs, before which most can
// be lost. What changes mailboxes that Cyrus knows is always cut at the sync after an index
// was replaced, with the new one's name on the disk: of a later pass that is the second, of
// a merge it would be the first if messages were not synced before.
func cutPlaces(kills []kill, n int, rnd *rand.Rand) (chosen []kill) {
	p := kills[0].phase
	rnd.Shuffle(len(kills), func(i, j int) { kills[i], kills[j] = kills[j], kills[i] })
	syncs := 0
	for _, k := range kills {
		switch sync := strings.Contains(k.call, "sync"); {
		case k.call == atRandom:
		case sync && syncs < (n+1)/2:
			syncs++
			chosen = append(chosen, k)
		case !sync && len(chosen)-syncs < n/2:
			chosen = append(chosen, k)
		}
	}
	for n, name := range []string{"merge", "later pass"} {
		if p.name == name {
			chosen = append(chosen, kill{phase: p, call: "syncfs", n: n + 1, chosen: true})
		}
	}
	return chosen
}

// cutAndRunAgain is one cut.
func cutAndRunAgain(t *testing.T, g *cutGround, k kill, want undisturbed, matrix *killMatrix) {
	g.t = t
	row := matrixRow{tried: 1}
	defer func() { matrix.note(k, row) }()
	args := k.phase.args(g.ground)
	rnd := matrix.rand(k)
	cutArgs := args
	if k.chosen {
		cutArgs = append(slices.Clone(args), "--user", "joe")
	}
	if k.call == atRandom {
		// Nothing that was killed writes any more: what is on its way to the disk
		// may come there or not.
		killedAfter(t, time.Duration(rnd.Int64N(int64(want.lasts)+1)), cutArgs...)
	} else if code, stderr := runWithFault(t, "signal=KILL", k.call, k.n, cutArgs...); code > 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	for _, d := range g.disks {
		if k.chosen || rnd.IntN(2) == 0 {
			d.commitJournal()
		}
	}
	cut(g.disks...)
	row.kills++
	for _, claim := range g.falseClaims() {
		row.lost++
		t.Errorf("after the cut: %s", claim)
	}
	matrix.again(g.ground, k, want, args, &row)
}

// falseClaims compares what the ledger says is there with what is there.
func (g *ground) falseClaims() (wrong []string) {
	g.t.Helper()
	l, err := ledger.Read(g.state)
	if err != nil {
		return []string{err.Error()}
	}
	defer l.Close() // read only
	eachRecord(g.t, l, func(rec ledger.Mailbox) {
		claim := func(err error) {
			if err != nil {
				wrong = append(wrong, fmt.Sprintf("the ledger says %q of %s: %v", rec.State, rec.Name, err))
			}
		}
		switch rec.State {
		case ledger.Filled, ledger.Verified:
			claim(g.claimsMessages(l, rec))
			claim(g.claimsIndex(l, rec))
		}
		if rec.Previous != "" {
			_, err := os.Stat(filepath.Join(l.ManifestDir(), rec.Previous))
			claim(err)
		}
		if s, ok := l.Subscriptions(string(rec.User)); ok && rec.State == ledger.Verified {
			b, err := os.ReadFile(filepath.Join(g.srv.ConfigDir, s.Path))
			switch sum := fmt.Sprintf("%x", sha1.Sum(b)); {
			case s.SHA1 == "" && errors.Is(err, fs.ErrNotExist): // he has none
			case err != nil:
				claim(err)
			case !s.Wrote(sum):
				claim(fmt.Errorf("the subscriptions have SHA-1 %s, not %q or %q", sum, s.SHA1, s.Next))
			}
		}
	})
	record, err := retire.OpenRecord(g.state, false)
	if err != nil {
		return append(wrong, err.Error())
	}
	defer record.Close() // read only
	for _, m := range record.Moves() {
		path := ""
		switch m.State {
		case retire.Moved:
			path = filepath.Join(string(m.Archive), string(m.Path))
		case retire.Restored:
			path = filepath.Join(g.host.root, string(m.Path))
		default:
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil || fmt.Sprintf("%x", sha256.Sum256(b)) != m.SHA256 {
			wrong = append(wrong, fmt.Sprintf("retired.jsonl says %q of %s: %d bytes, %v", m.State, path, len(b), err))
		}
	}
	return wrong
}

// claimsMessages checks every message file of a mailbox against its manifest.
func (g *ground) claimsMessages(l *ledger.Ledger, rec ledger.Mailbox) error {
	manifest, err := l.OpenManifest(rec.Manifest)
	if err != nil {
		return err
	}
	defer manifest.Close() // read only
	var count int64
	for ; ; count++ {
		m, err := manifest.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(g.srv.Spool, rec.Dir, fmt.Sprintf("%d.", m.UID)))
		if err != nil {
			return err
		}
		if sum := sha1.Sum(b); sum != m.GUID {
			return fmt.Errorf("message %d has %d bytes and SHA-1 %x, not %d and %x", m.UID, len(b), sum, m.Size, m.GUID)
		}
	}
	if count != rec.Messages {
		return fmt.Errorf("the manifest has %d messages, not %d", count, rec.Messages)
	}
	return nil
}

// claimsIndex checks Cyrus's index and, of a mailbox that is done, that Cyrus knows it.
func (g *ground) claimsIndex(l *ledger.Ledger, rec ledger.Mailbox) error {
	place := cyrusspool.OneRoot(g.srv.Spool).At(rec.Dir)
	res, err := verify.Index(l, rec, place, nil)
	if err != nil {
		return err
	}
	for _, p := range res.Problems {
		if p.Kind != "not-rebuilt" || rec.State == ledger.Verified {
			return fmt.Errorf("its index: %s", p.Text)
		}
	}
	if rec.State != ledger.Verified {
		return nil
	}
	if rec.IndexID == nil || !res.IndexID.Equal(*rec.IndexID) {
		return fmt.Errorf("its index is %+v, not %+v", res.IndexID, rec.IndexID)
	}
	dump, err := g.srv.Run(g.t.Context(), "cyr_dbtool", filepath.Join(g.srv.ConfigDir, "mailboxes.db"), "twoskip", "show")
	if err != nil {
		return err
	}
	if !strings.Contains(dump, rec.UniqueID) {
		return errors.New("Cyrus does not know it")
	}
	return nil
}

// TestPowerCutIsOne shows that the test above can fail: with a program whose syncs of the
// spool do nothing, what the ledger says is not there after a cut.
func TestPowerCutIsOne(t *testing.T) {
	withOwnMounts(t, func(t *testing.T) {
		for _, kind := range []diskKind{ext4, xfs, btrfs} {
			t.Run(kind.name, func(t *testing.T) { cutWithoutSyncs(t, kind) })
		}
	})
}

func cutWithoutSyncs(t *testing.T, kind diskKind) {
	needStrace(t)
	for range 3 {
		g := newCutGround(t, kind)
		g.begin(phases[0])
		restore := save(g.disks...)
		restore()
		start := time.Now()
		cmd := exec.Command("strace", append([]string{"-f", "-b", "execve", "-qq", "-o", "/dev/null",
			"-e", "trace=syncfs", "-e", "inject=syncfs:retval=0", "mbox2cyrus"}, phases[0].args(g.ground)...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, bytes.TrimSpace(out))
		}
		cut(g.disks...)
		wrong := g.falseClaims()
		t.Logf("%d of the ledger's words are not true, as %q", len(wrong), slices.Concat(wrong, []string{""})[0])
		if len(wrong) > 0 {
			return
		}
		t.Logf("nothing was lost; the run took %v: the kernel may have written everything by itself", time.Since(start))
	}
	t.Error("without its syncs the program loses nothing in a power cut: the cut is none")
}

// TestSyncedBeforeTheyAreSeen looks at the order of system calls: the index of a mailbox that
// Cyrus knows already takes its place only after the messages and the manifest are on the
// disk. A power cut in between would else leave mail in Cyrus of which the ledger knows
// nothing, or an index without its messages. Kim's is adopted; with two jobs and one user a
// helper writes message files while the reader is at its end already. Joe's was given to Cyrus
// by a run that was killed before it was verified, and his folder has changed since.
func TestSyncedBeforeTheyAreSeen(t *testing.T) {
	needStrace(t)
	var inbox strings.Builder
	for n := range 300 {
		inbox.WriteString(letter(n) + strings.Repeat("one more line of text\n", 300))
	}
	for _, jobs := range []string{"1", "2"} {
		t.Run("adopted, jobs "+jobs, func(t *testing.T) {
			g := newGround(t, "", "", "")
			g.firstMail()
			g.host.writeAs(1002, "var/mail/kim", inbox.String())
			g.adopt()
			syncedBeforeTheyAreSeen(t, g.srv.Spool, g.migrate("--user", "kim", "--jobs", jobs))
		})
	}
	t.Run("not verified", func(t *testing.T) {
		c := newCutHost(t)
		c.write("var/mail/joe", letter(1))
		c.write("home/joe/mail/play", letter(1))
		c.write("home/joe/.mailboxlist", "mail/play\n")
		c.killAt("linkat", filepath.Join(c.srv.ConfigDir, "user/j"), c.migrate("--quiet")...)
		if s := c.record("user.joe").State; s != ledger.Filled {
			t.Fatalf("it was killed when the mailbox was %q", s)
		}
		c.write("var/mail/joe", letter(1)+inbox.String())
		syncedBeforeTheyAreSeen(t, c.box(""), c.migrate("--quiet"))
	})
}

// syncedBeforeTheyAreSeen runs the program and looks at what it does to mailboxes below dir.
func syncedBeforeTheyAreSeen(t *testing.T, dir string, args []string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "calls")
	cmd := exec.Command("strace", append([]string{"-f", "-b", "execve", "-qq", "-y", "-s", "200", "-o", log, "-e", "trace=write,syncfs,renameat,renameat2", "mbox2cyrus"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	calls, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	message := regexp.MustCompile(`write\([0-9]+<` + regexp.QuoteMeta(filepath.Clean(dir)) + `/([^>]*/)?[0-9]+\.>`)
	messages, written, synced, seen := 0, 0, 0, 0 // the numbers of the lines of the last such calls
	n := 0
	for line := range strings.Lines(string(calls)) {
		n++
		switch {
		case message.MatchString(line):
			messages = n
		case strings.Contains(line, "write(") && strings.Contains(line, "/manifests/"):
			written = n
		case strings.Contains(line, "syncfs(") && seen == 0:
			synced = n
		case strings.Contains(line, "rename") && strings.Contains(line, `"cyrus.index.NEW"`) && strings.Contains(line, filepath.Clean(dir)):
			seen = n
		}
	}
	if messages == 0 || written == 0 || seen == 0 {
		t.Fatalf("the last message is written by call %d, the manifest by call %d, the index takes its place by call %d\n%s", messages, written, seen, calls)
	}
	if synced < written || synced < messages || synced > seen {
		t.Errorf("the last message is written by call %d, the manifest by call %d, both are synced by %d; the index takes its place by %d", messages, written, synced, seen)
	}
}

package resources

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Need is what is to be written below a directory.
type Need struct {
	What   string // "partition default"
	Dir    string // need not be there yet
	Bytes  int64
	Inodes int64
	UID    int // whose files these are, for disk quotas
}

// Room is what a file system has left for a user.
type Room struct {
	Bytes  int64
	Inodes int64  // Unlimited where the file system makes them as it needs them
	By     string // what sets the bound, if it is not the file system: a quota
}

func (r Room) String() string {
	text := fmt.Sprintf("%d bytes", r.Bytes)
	if r.Inodes != Unlimited {
		text += fmt.Sprintf(" and %d inodes", r.Inodes)
	}
	if r.By != "" {
		text += " (" + r.By + ")"
	}
	return text
}

// RoomIn asks how much room a user has in the file system of a directory, or of the one
// above it that is there.
func RoomIn(dir string, uid int) (r Room, err error) {
	fd, err := openAbove(dir)
	if err != nil {
		return r, err
	}
	defer unix.Close(fd) // opened for reading: nothing can be lost
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return r, fmt.Errorf("%s: statfs: %w", dir, err)
	}
	r = Room{Bytes: available(st), Inodes: int64(st.Ffree)}
	if st.Files == 0 {
		r.Inodes = Unlimited
	}
	if q, ok := quotaOf(fd, uid); ok {
		if q.Bytes < r.Bytes {
			r.Bytes, r.By = q.Bytes, q.By
		}
		if q.Inodes < r.Inodes {
			r.Inodes, r.By = q.Inodes, q.By
		}
	}
	return r, nil
}

// available is what statfs(2) says of bytes. They are counted in fragments, as statvfs(3) has it and
// df(1) takes it: the block size is only what is read best at once, and larger on some FUSE.
func available(st unix.Statfs_t) int64 {
	return int64(st.Bavail) * int64(cmp.Or(st.Frsize, st.Bsize))
}

// openAbove opens a directory, or that above it which is there.
func openAbove(dir string) (fd int, err error) {
	for {
		fd, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return fd, nil
}

// diskQuota is struct if_dqblk (linux/quota.h); limits of 0 are none.
type diskQuota struct {
	hardBlocks, softBlocks, bytes  uint64 // limits in units of 1 KiB
	hardInodes, softInodes, inodes uint64
	blockTime, inodeTime           uint64
	valid                          uint32
	_                              uint32
}

// Commands of quotactl_fd for quotas of users, which are type 0 (linux/quota.h, QCMD).
const (
	getUserQuota  = 0x800007 << 8 // Q_GETQUOTA
	getQuotaState = 0x5805 << 8   // Q_XGETQSTAT (linux/dqblk_xfs.h), of any file system
)

// userEnforced says in qs_flags of a quotaState that limits of users hold
// (FS_QUOTA_UDQ_ENFD).
const userEnforced = 1 << 1

// quotaState is struct fs_quota_stat (linux/dqblk_xfs.h).
type quotaState struct {
	version int8
	flags   uint16
	_       [76]byte // more than all of the rest
}

// quotaOf asks for the disk quota of a user (quotactl_fd(2), Linux 5.14). Where there is
// none, or none can be asked for, ok is false: a write that a quota forbids fails as one
// on a full disk. Limits may be set that do not hold: ext4 keeps them also when it is
// mounted without usrquota, and XFS with uqnoenforce.
func quotaOf(fd, uid int) (r Room, ok bool) {
	if uid < 0 {
		return r, false
	}
	var state quotaState
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, uintptr(fd), getQuotaState, 0, uintptr(unsafe.Pointer(&state)), 0, 0)
	if errno != 0 || state.flags&userEnforced == 0 {
		return r, false
	}
	var q diskQuota
	if _, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, uintptr(fd), getUserQuota, uintptr(uid), uintptr(unsafe.Pointer(&q)), 0, 0); errno != 0 {
		return r, false
	}
	now := time.Now()
	return Room{
		Bytes:  left(q.hardBlocks, q.softBlocks, quotaBlock, q.bytes, q.blockTime, now),
		Inodes: left(q.hardInodes, q.softInodes, 1, q.inodes, q.inodeTime, now),
		By:     fmt.Sprintf("the disk quota of uid %d", uid),
	}, true
}

// quotaBlock is the unit of limits in bytes (linux/quota.h, QIF_DQBLKSIZE).
const quotaBlock = 1 << 10

// left is what limits leave of something of which so much is used. Who is over the soft
// one may go on up to the hard one until a time, which is 0 if he was not over it when it
// was last looked at, and get nothing after that (kernel: fs/quota/dquot.c,
// dquot_add_space).
func left(hard, soft, unit, used, until uint64, now time.Time) int64 {
	// A limit beyond what numbers can say is none.
	room := func(limit uint64) int64 {
		if limit == 0 || limit > math.MaxInt64/unit {
			return Unlimited
		}
		return max(0, int64(limit*unit)-int64(min(used, math.MaxInt64)))
	}
	if room(soft) == 0 && until > 0 && uint64(now.Unix()) >= until {
		return 0
	}
	return room(hard)
}

// Short says of which file systems the needs, those on one file system together, exceed
// the room.
func Short(needs []Need) (short []string, err error) {
	type place struct {
		in  fileSystem
		uid int
	}
	var order []place
	sums := map[place]Need{}
	for _, n := range needs {
		in, err := fileSystemOf(n.Dir)
		if err != nil {
			return nil, err
		}
		at := place{in, n.UID}
		sum, known := sums[at]
		if !known {
			order = append(order, at)
			sum = Need{Dir: n.Dir, UID: n.UID}
		}
		sum.Bytes, sum.Inodes = sum.Bytes+n.Bytes, sum.Inodes+n.Inodes
		sum.What = strings.TrimPrefix(sum.What+", "+n.What, ", ")
		sums[at] = sum
	}
	// What others write on the same file system takes of the same room.
	total := map[fileSystem]Need{}
	for at, sum := range sums {
		t := total[at.in]
		total[at.in] = Need{Bytes: t.Bytes + sum.Bytes, Inodes: t.Inodes + sum.Inodes, What: t.What}
	}
	for _, at := range order {
		sum := sums[at]
		room, err := RoomIn(sum.Dir, at.uid)
		if err != nil {
			return nil, err
		}
		need := sum
		if room.By == "" {
			need.Bytes, need.Inodes = total[at.in].Bytes, total[at.in].Inodes
		}
		if need.Bytes <= room.Bytes && need.Inodes <= room.Inodes {
			continue
		}
		short = append(short, fmt.Sprintf("%s: too small: about %d bytes and %d inodes are to be written to that file system, which has %s free: make room, or choose others (--partition, --partition-map, --state)",
			sum.What, need.Bytes, need.Inodes, room))
	}
	return slices.Compact(short), nil
}

// fileSystem identifies what has its room in common.
type fileSystem struct {
	dev  uint64
	uuid [16]byte // of btrfs instead, where each subvolume has a device number
}

// ioctlFSInfo is BTRFS_IOC_FS_INFO (linux/btrfs.h).
const ioctlFSInfo = 0x8400941f

// fsInfo is struct btrfs_ioctl_fs_info_args.
type fsInfo struct {
	maxID, devices uint64
	fsid           [16]byte
	_              [992]byte
}

// fileSystemOf returns the file system that a directory is, or will be, on.
func fileSystemOf(dir string) (in fileSystem, err error) {
	fd, err := openAbove(dir)
	if err != nil {
		return in, err
	}
	defer unix.Close(fd) // opened for reading: nothing can be lost
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return in, fmt.Errorf("stat %s: %w", dir, err)
	}
	var kind unix.Statfs_t
	if err := unix.Fstatfs(fd, &kind); err != nil {
		return in, fmt.Errorf("%s: statfs: %w", dir, err)
	}
	if uint32(kind.Type) == unix.BTRFS_SUPER_MAGIC {
		var info fsInfo
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), ioctlFSInfo, uintptr(unsafe.Pointer(&info))); errno == 0 {
			return fileSystem{uuid: info.fsid}, nil
		}
	}
	return fileSystem{dev: uint64(st.Dev)}, nil
}

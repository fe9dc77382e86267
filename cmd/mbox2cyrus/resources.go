package main

import (
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/resources"
	"mbox2cyrus/cyrusspool"
)

// fitJobs lowers the number of users at a time to what open files and memory allow.
func (s *session) fitJobs() error {
	limits, err := resources.Limits()
	if err != nil {
		return err
	}
	n, why := limits.Jobs(s.opts.jobs, !cyrusspool.SyncFSReports())
	switch {
	case n == s.opts.jobs:
		return nil
	case n == 0:
		return fmt.Errorf("not even one user at a time can be worked on: %s; nothing was written", why)
	}
	s.report.Problem(report.Problem{Severity: report.Note, Offset: -1, Kind: "jobs-lowered", Text: fmt.Sprintf("%s: %d at a time, which takes longer", why, n)})
	s.opts.jobs = n
	return nil
}

// manyFolders is from how many on what is known of folders and mailboxes takes more memory than
// the mail that is read.
const manyFolders = 4000

// spareMemory has less memory left to be collected where much of it is in use all the time. With
// few folders that would cost a tenth of the processor time of the program.
func (s *session) spareMemory() {
	folders := 0
	for _, u := range s.plan.Users {
		folders += len(u.Folders)
	}
	if folders > manyFolders && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// checkRoom refuses a run that cannot fit: what it is to write is guessed from the sizes of
// the folders that are new or have grown, with few and large messages. plan counts them, and
// what will be held.
func (s *session) checkRoom(l *ledger.Ledger, merge bool) error {
	var a amount
	perPartition := map[string]plan.Need{}
	for _, u := range s.plan.Users {
		a.users++
		for _, f := range u.Folders {
			size := f.File.Size
			rec, known, err := l.Mailbox(string(f.Mailbox))
			if err != nil {
				return err
			}
			if known && rec.State != ledger.Begun && rec.SourceID != nil {
				if size -= rec.SourceID.Size; size <= 0 {
					continue
				}
			}
			a.add(size)
			there := s.written(rec)
			n := perPartition[u.Partition]
			// Line ends grow, files are rounded up to blocks, the cache is some 5 %: a
			// fifth more is what mail of ordinary sizes takes.
			perPartition[u.Partition] = plan.Need{Bytes: n.Bytes + max(0, size+size/5-there.Bytes), Inodes: n.Inodes + max(0, plan.MailboxFiles+size/largeMessage-there.Inodes)}
			if merge && !known {
				a.kept += s.sizeOfMailbox(f.Mailbox)
			}
		}
	}
	a.messages = a.bytes / largeMessage
	short, err := s.short(perPartition, a)
	if err == nil && len(short) > 0 {
		err = fmt.Errorf("%s; nothing was written", strings.Join(short, "; "))
	}
	return err
}

// largeMessage is the size of a message, on average, where messages are large.
const largeMessage = 50 << 10

// amount is how much mail is to be written.
type amount struct {
	users, folders, messages, bytes int64
	largest                         int64 // folder
	kept                            int64 // bytes of indexes and caches that are kept for undo
	held                            plan.HeldNeed
}

func (a *amount) add(size int64) {
	a.folders++
	a.bytes += size
	a.largest = max(a.largest, size)
}

// What is written for each beside the mail, about.
const (
	configPerUser      = 8 << 10 // subscriptions, directories
	configPerMailbox   = 2 << 10 // records of mailboxes.db, of which old ones stay for a while
	configInodes       = 6       // of a user
	conversationPerMsg = 400
	statePerMailbox    = 12 << 10 // lines of the journal and the history, blocks of a manifest
	statePerMessage    = 160      // line of a manifest
	stateInodes        = 2        // of a mailbox
	stateAtAll         = 1 << 20
	indexPerMessage    = 96
	cachePerMessage    = 512
)

// short says what is too small for an amount of mail of which the partitions get their
// parts.
func (s *session) short(perPartition map[string]plan.Need, a amount) ([]string, error) {
	limits, err := resources.Limits()
	if err != nil {
		return nil, err
	}
	owner := s.cyrus.Fresh.Owner.UID
	config := a.users*configPerUser + a.folders*configPerMailbox
	if s.cyrus.Conversations() {
		config += a.messages * conversationPerMsg
	}
	var needs []resources.Need
	for _, partition := range slices.Sorted(maps.Keys(perPartition)) {
		n := perPartition[partition]
		needs = append(needs, resources.Need{What: "partition " + partition, Dir: s.cyrus.MessagesRoot(partition), Bytes: n.Bytes, Inodes: n.Inodes, UID: owner})
		// Of metapartitions only what is there of each message counts, of which there are about as
		// many as files.
		roots := s.cyrus.Place(partition, "").Roots
		for _, meta := range []struct {
			dir        string
			perMessage int64
		}{{roots.Index, indexPerMessage}, {roots.Cache, cachePerMessage}} {
			if meta.dir != roots.Data {
				needs = append(needs, resources.Need{What: "metapartition " + meta.dir, Dir: meta.dir, Bytes: n.Inodes * meta.perMessage, UID: owner})
			}
		}
	}
	needs = append(needs,
		resources.Need{What: "configdirectory " + s.cyrus.ConfigDir, Dir: s.cyrus.ConfigDir, Bytes: config, Inodes: a.users * configInodes, UID: owner},
		resources.Need{What: "state directory " + s.state, Dir: s.state, UID: os.Geteuid(),
			Bytes: stateAtAll + a.folders*statePerMailbox + a.messages*statePerMessage + a.kept + a.held.Bytes, Inodes: a.folders*stateInodes + a.held.Inodes})
	short, err := resources.Short(needs)
	// A message, or what is held of a folder, can be as large as that.
	if why := limits.File(max(a.largest+a.largest/5, a.held.Largest)); why != "" {
		short = append(short, why)
	}
	return short, err
}

// What Cyrus's programs need at least to go on: less is a full file system.
const (
	fullBytes  = 64 << 10
	fullInodes = 16
)

// sayFull tells of file systems that are full to Cyrus's user, if something failed. Root
// can write where he cannot, over his quota and into reserved blocks, and his programs end
// with words that seldom tell why.
func (s *session) sayFull() {
	if s.report.Totals().Failures == 0 {
		return
	}
	places := map[string]string{"configdirectory " + s.cyrus.ConfigDir: s.cyrus.ConfigDir}
	for _, u := range s.plan.Users {
		if s.cyrus.HasPartition(u.Partition) {
			places["partition "+u.Partition] = s.cyrus.MessagesRoot(u.Partition)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(places)) {
		room, err := resources.RoomIn(places[what], s.cyrus.Fresh.Owner.UID)
		switch {
		case err != nil:
			s.report.Problem(report.Problem{Severity: report.Note, Offset: -1, Kind: "no-space",
				Text: fmt.Sprintf("whether %s is full cannot be told: %v", what, err)})
		case room.Bytes < fullBytes || room.Inodes < fullInodes:
			s.report.Problem(report.Problem{Severity: report.Attention, Offset: -1, Kind: "no-space",
				Text: fmt.Sprintf("%s has only %s left for Cyrus, whose programs may have failed for that: make room and run the same command again", what, room)})
		}
	}
}

// written is what a run that was cut off has written of a mailbox already, which needs no room
// once more. In one that was appended to it cannot be told from what was there before.
func (s *session) written(rec ledger.Mailbox) (n plan.Need) {
	if rec.State != ledger.Begun || rec.FirstUID > 0 || !s.cyrus.HasPartition(rec.Partition) {
		return n
	}
	d, err := os.Open(s.cyrus.Place(rec.Partition, rec.Dir).Messages())
	if err != nil {
		return n // what is wrong there is told when its turn comes
	}
	defer d.Close() // read only
	for {
		entries, err := d.ReadDir(1000)
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
				n.Bytes, n.Inodes = n.Bytes+info.Size(), n.Inodes+1
			}
		}
		if err != nil {
			return n
		}
	}
}

// sizeOfMailbox is the size of the files of a mailbox in Cyrus that undo would need.
func (s *session) sizeOfMailbox(name cyrusspool.Name) (size int64) {
	entry, there, err := s.cyrus.Entry(name)
	if !there || err != nil || !s.cyrus.HasPartition(entry.Partition) {
		return 0 // whatever is wrong there is told when its turn comes
	}
	place := s.cyrus.Place(entry.Partition, s.cyrus.Dir(entry))
	for _, path := range []string{place.IndexFile(), place.CacheFile(), place.HeaderFile()} {
		if info, err := os.Lstat(path); err == nil {
			size += info.Size()
		}
	}
	return size
}

package mbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// spoolSurvey looks through the directory that has all inboxes.
type spoolSurvey struct {
	host    *Host
	wanted  map[string]*User  // by name
	system  map[string]uint32 // uids of those below the least
	skipped *skipList
	seen    map[fileKey]bool // directories that were listed: links may lead to one twice
}

// fileKey tells files apart.
type fileKey struct{ dev, ino uint64 }

// otherSpools are the directories that have the inboxes on other systems, and of which
// one can be left over.
var otherSpools = []string{"var/mail", "var/spool/mail", "usr/mail", "usr/spool/mail"}

// run sets HasInbox of the wanted users and takes up all else that is there.
func (s *spoolSurvey) run() error {
	s.seen = make(map[fileKey]bool)
	t := s.host.template
	if !t.home {
		dir, err := reopen(s.host.inboxDir, unix.O_RDONLY)
		if err != nil {
			return fmt.Errorf("mbox: inbox directory %s: %w", t.dir, err)
		}
		defer dir.Close()
		expected := make(map[string]*User) // by the directory's path, where inboxes are spread
		if len(t.elements) > 1 {
			for _, u := range s.wanted {
				if names := t.path(u.Name); names != nil {
					expected[t.dir+"/"+strings.Join(names, "/")] = u
				}
			}
		}
		if err := s.list(dir, t.dir, len(t.elements)-1, expected); err != nil {
			return err
		}
	}
	return s.leftOver()
}

// list takes up everything in dir. The inboxes are depth directories further down;
// expected has them by path, unless they were never further down: then by name.
func (s *spoolSurvey) list(dir *os.File, path string, depth int, expected map[string]*User) error {
	st, err := fstat(dir)
	if err != nil {
		return fmt.Errorf("mbox: inbox directory %s: %w", path, err)
	}
	key := fileKey{uint64(st.Dev), st.Ino}
	if s.seen[key] {
		return nil
	}
	s.seen[key] = true
	err = eachName(dir, func(name string) error {
		if depth > 0 {
			if below := s.below(path + "/" + name); below != nil {
				defer below.Close()
				return s.list(below, path+"/"+name, depth-1, expected)
			}
		} else if s.isInbox(path, name, expected) {
			return nil
		}
		stray, err := s.stray(dir, name)
		if err != nil {
			return err
		}
		stray.Path = path + "/" + name
		s.skipped.add(*stray)
		return nil
	})
	if err != nil {
		return fmt.Errorf("mbox: inbox directory %s: %w", path, err)
	}
	return nil
}

// below opens a directory that inboxes are spread over, nil if it is none. The
// administrator may have made it a link to another disk.
func (s *spoolSurvey) below(path string) *os.File {
	dir, err := s.host.root.open(path)
	if err != nil {
		return nil
	}
	defer dir.Close()
	if st, err := fstat(dir); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	listed, err := reopen(dir, unix.O_RDONLY)
	if err != nil {
		return nil // stray reports it
	}
	return listed
}

// isInbox reports whether an entry is a wanted user's inbox, or holds more of it.
func (s *spoolSurvey) isInbox(path, name string, expected map[string]*User) bool {
	of := func(name string) *User {
		u := s.wanted[name]
		if u == nil || len(s.host.template.elements) > 1 && expected[path+"/"+name] != u {
			return nil
		}
		return u
	}
	u := of(name)
	if u == nil {
		user, isPop := popCopyOf(name)
		if u = of(user); !isPop || u == nil || !s.host.hasPopCopy(path, name) {
			return false
		}
	}
	u.HasInbox = true
	return true
}

// hasPopCopy reports whether a working copy of qpopper holds something.
func (h *Host) hasPopCopy(path, name string) bool {
	dir, err := h.root.open(path)
	if err != nil {
		return false
	}
	defer dir.Close()
	st, err := lstatAt(dir, name)
	return err == nil && !(st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0)
}

// leftOver reports inbox directories of other systems that hold mail: the host may have
// had its inboxes there before.
func (s *spoolSurvey) leftOver() error {
	for _, path := range otherSpools {
		dir := s.below(path)
		if dir == nil {
			continue
		}
		err := s.leftOverIn(dir, path)
		if err := errors.Join(err, dir.Close()); err != nil {
			return fmt.Errorf("mbox: inbox directory %s: %w", path, err)
		}
	}
	return nil
}

func (s *spoolSurvey) leftOverIn(dir *os.File, path string) error {
	st, err := fstat(dir)
	if err != nil {
		return err
	}
	key := fileKey{uint64(st.Dev), st.Ino}
	if s.seen[key] {
		return nil
	}
	s.seen[key] = true
	files, bytes := 0, int64(0)
	err = eachName(dir, func(name string) error {
		st, err := lstatAt(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && s.wanted[name] != nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size > 0 {
			files++
			bytes += st.Size
		}
		return err
	})
	if err != nil || files == 0 {
		return err
	}
	s.skipped.add(Skipped{Path: path, Kind: SkipInboxElsewhere, MayHoldMail: true,
		Text: fmt.Sprintf("another directory of inboxes with %d files of users, %d bytes, is not read: the inboxes are taken to be %s; append these files to them if they are mail that is wanted", files, bytes, s.host.template)})
	return nil
}

// stray describes an entry of the inbox directory that is no wanted user's inbox.
func (s *spoolSurvey) stray(dir *os.File, name string) (*Skipped, error) {
	st, err := lstatAt(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return &Skipped{Kind: SkipChanged, Text: "gone since the directory was listed"}, nil
	}
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return &Skipped{Kind: SkipDirectory, MayHoldMail: true,
			Text: "directory among the inboxes, not descended; if the host spreads them (h/a/hash), say so by an inbox template (/var/mail/%1u/%2u/%u)"}, nil
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return notRegular(dir, name, st), nil
	}

	full := st.Size > 0
	size := fmt.Sprintf("%d bytes", st.Size)
	popUser, isPop := popCopyOf(name)
	if s.wanted[popUser] == nil && isPop && name[0] != '.' {
		isPop = false // an unknown user's inbox rather than a working copy
	}
	uid, isSystem := s.system[name]
	switch {
	case isSystem:
		return &Skipped{User: name, Kind: SkipSystemUser, MayHoldMail: full,
			Text: fmt.Sprintf("%s, inbox of %q, whose uid %d is below %d; lower the least uid (--min-uid) or read it as another user if it is wanted", size, name, uid, s.host.minUID)}, nil
	case s.wanted[name] != nil:
		return &Skipped{User: name, Kind: SkipInboxElsewhere, MayHoldMail: full,
			Text: fmt.Sprintf("%s, named like the inbox of %q, which the inbox template %s puts elsewhere; append it to that if it is mail", size, name, s.host.template)}, nil
	case isPop && full:
		stray := &Skipped{Kind: SkipInboxElsewhere, MayHoldMail: true,
			Text: fmt.Sprintf("%s, working copy of a POP3 server (qpopper) for %q; it may hold mail of a session that broke off; append it to the inbox if so", size, popUser)}
		if s.wanted[popUser] != nil {
			stray.User = popUser
		}
		return stray, nil
	case strings.HasSuffix(name, ".lock"):
		stray := &Skipped{Kind: SkipLockFile, MayHoldMail: st.Size > maxLockFile,
			Text: fmt.Sprintf("%s, lock file; make sure that no delivery or mail session is running", size)}
		if user := strings.TrimSuffix(name, ".lock"); s.wanted[user] != nil {
			stray.User = user
		}
		return stray, nil
	case strings.HasPrefix(name, "BOGUS."):
		return &Skipped{Kind: SkipBogus, MayHoldMail: full,
			Text: fmt.Sprintf("%s, put aside by mail.local because its owner was wrong; it may hold mail", size)}, nil
	case name[0] == '.':
		return &Skipped{Kind: SkipDotFile, MayHoldMail: full,
			Text: fmt.Sprintf("%s, hidden file that is no user's inbox; it may hold mail", size)}, nil
	}
	return &Skipped{User: name, Kind: SkipNoUser, MayHoldMail: full,
		Text: fmt.Sprintf("%s, no user %q in passwd; add a line for it if the mail is wanted", size, clip(name))}, nil
}

// maxLockFile is more than any lock file holds: a process id, a host name. A larger
// file of that name may be somebody's mail.
const maxLockFile = 512

// popCopyOf returns the user of qpopper's working copy: .USER.pop, or USER.pop.
func popCopyOf(name string) (user string, ok bool) {
	user, ok = strings.CutSuffix(name, ".pop")
	return strings.TrimPrefix(user, "."), ok
}

package mbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// systemUsers takes up the mail that users below the least uid have in their homes.
func (h *Host) systemUsers(skipped *skipList) error {
	wanted := make(map[string]bool, len(h.entries))
	for _, e := range h.entries {
		if e.UID >= h.minUID {
			wanted[cleanPath(e.Home)] = true
		}
	}
	for _, e := range h.entries {
		if e.UID >= h.minUID {
			continue
		}
		var s *Skipped
		err := h.watch(e.Name, func() (err error) {
			s, err = h.systemUser(e, wanted)
			return err
		})
		if err != nil {
			return err
		}
		if s != nil {
			skipped.add(*s)
		}
	}
	return nil
}

// systemUser says where in his home a user below the least uid has mail, or may have; nil if
// there is none. He may be a person whose uid is older than the rule that people's begin
// at 500. Homes that belong to wanted users, whose mail is read, are in wanted by path.
func (h *Host) systemUser(e PasswdEntry, wanted map[string]bool) (found *Skipped, err error) {
	homePath := cleanPath(e.Home)
	if e.UID == 0 || isSystemHome(e.Home) || wanted[homePath] {
		return nil, nil
	}
	home, s := h.openHome(e.Home)
	if s != nil {
		s.User, s.Path = e.Name, homePath
		s.Text = fmt.Sprintf("user %q, whose uid %d is below %d (--min-uid): %s", e.Name, e.UID, h.minUID, s.Text)
		return s, nil
	}
	if home == nil {
		return nil, nil
	}
	defer home.Close()
	places := append([]string{"mbox", mailboxList}, h.extra...)
	if h.mailDir != "" {
		places = append(places, h.mailDir)
	}
	if names := h.template.path(e.Name); h.template.home && names != nil {
		places = append(places, strings.Join(names, "/"))
	}
	err = h.as(User{Name: e.Name, UID: e.UID, GID: e.GID}, func() error {
		for _, place := range places {
			path := join(homePath, place)
			if wanted[path] || !mayHold(home, splitPath(place), e.UID) {
				continue
			}
			found = &Skipped{User: e.Name, Path: path, Kind: SkipSystemUser, MayHoldMail: true,
				Text: fmt.Sprintf("user %q, whose uid %d is below %d, is passed over, but this may be mail of his; lower the least uid (--min-uid) if it is wanted", e.Name, e.UID, h.minUID)}
			break
		}
		return nil
	})
	return found, err
}

// mayHold reports whether something that may be mail is at a place below a home: it is not
// empty, or cannot be looked into. No link is followed.
func mayHold(home *os.File, names []string, uid uint32) bool {
	last := len(names) - 1
	dir, s, err := openUserPath(home, names[:last], uid, pathOnly)
	if dir == nil {
		return s != nil && s.MayHoldMail || err != nil && !errors.Is(err, fs.ErrNotExist)
	}
	defer dir.Close()
	st, err := lstatAt(dir, names[last])
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return st.Size > 0
	case unix.S_IFLNK:
		return true
	case unix.S_IFDIR:
		below, _, _ := openUserDir(dir, names[last], uid, unix.O_RDONLY)
		if below == nil {
			return true
		}
		defer below.Close()
		return !isEmptyDir(below)
	}
	return false
}

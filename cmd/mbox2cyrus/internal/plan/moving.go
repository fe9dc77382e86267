package plan

import (
	"cmp"
	"errors"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// Moved is a folder that changed while it was planned.
type Moved struct {
	User, Folder string // raw
	Inbox, Grew  bool
}

// moved notes a folder that is not what was listed, now that it was read.
func (s *Scanner) moved(u *User, f Folder, now ledger.FileID) {
	was := FileID(f.File)
	if was.Equal(now) {
		return
	}
	s.move(Moved{u.Name, f.File.Name, f.File.Inbox, now.Size > was.Size})
}

func (s *Scanner) move(m Moved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moving = append(s.moving, m)
}

// again looks once more at the INBOXes of a plan that was read: mail may have come since.
func (s *Scanner) again(p *Plan) error {
	known := map[string]bool{}
	for _, m := range s.moving {
		known[m.User] = known[m.User] || m.Inbox
	}
	var errs error
	for _, u := range p.Users {
		for _, f := range u.Folders {
			if f.File.Inbox && !known[u.Name] {
				errs = errors.Join(errs, s.look(u, f))
			}
		}
	}
	return errs
}

// look compares a folder as it is now with what was listed.
func (s *Scanner) look(u *User, f Folder) error {
	folder, err := s.Source.Host.Open(u.User, f.File)
	if err != nil {
		s.move(Moved{User: u.Name, Folder: f.File.Name, Inbox: f.File.Inbox}) // gone, or something else now
		return nil
	}
	id, err := folder.Identity()
	if err == nil {
		s.moved(u, f, ledger.NewFileID(id))
	}
	return errors.Join(err, folder.Close())
}

// Moved returns the folders that changed between being listed and the end of Run.
func (s *Scanner) Moved() []Moved {
	slices.SortFunc(s.moving, func(a, b Moved) int { return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Folder, b.Folder)) })
	return s.moving
}

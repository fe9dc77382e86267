package verify

import (
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/mbox"
)

// A faultKind is what can be wrong with a message beyond what the index says.
type faultKind uint8

const (
	faultFileMissing faultKind = iota
	faultFileUnreadable
	faultHeader
	faultContent
	faultSourceChanged
	faultSourceUnreadable
	faultSourceMissing
)

// faultKinds say of each the kind of its problem, and how it is told where no more is
// remembered.
var faultKinds = [...]struct {
	problem string
	mark    report.Mark
	what    string
}{
	faultFileMissing:      {"file-missing", report.Unreadable, "its message file is missing"},
	faultFileUnreadable:   {"file-unreadable", report.Unreadable, "its message file cannot be read"},
	faultHeader:           {"header", report.Differs, "its header is not the source's"},
	faultContent:          {"content", report.Differs, "its message file is not what the source holds"},
	faultSourceChanged:    {"source-changed", report.Differs, "the source is not as it was migrated"},
	faultSourceUnreadable: {string(mbox.KindUnreadable), report.CyrusOnly, "its place in the source cannot be read any more"},
	faultSourceMissing:    {"source-missing", report.CyrusOnly, "the source no longer has it"},
}

// faults are those of one message: a bit for each faultKind.
type faults uint8

// faultSet remembers what is wrong with the messages of a mailbox. It may be something with
// each, for one byte at the beginning of a folder moves all of it: so they take a few bytes
// a message, 3 where UIDs are close and 50 where they are far apart.
type faultSet struct {
	of    map[uint32][faultsTogether]faults // by UID / faultsTogether
	tells bool                              // they will be told of message by message
	told  map[uint32]string                 // what is to be said then, all of it, of the first
}

const (
	faultsTogether = 16
	maxToldInFull  = 1000
)

// add remembers a fault. what is all that is to be said of it.
func (s *faultSet) add(uid uint32, kind faultKind, what string) {
	if s.of == nil {
		s.of, s.told = map[uint32][faultsTogether]faults{}, map[uint32]string{}
	}
	had := s.has(uid)
	together := s.of[uid/faultsTogether]
	together[uid%faultsTogether] |= 1 << kind
	s.of[uid/faultsTogether] = together
	said, known := s.told[uid]
	switch {
	case known:
		s.told[uid] = said + ", " + what
	case s.tells && !had && len(s.told) < maxToldInFull:
		s.told[uid] = what
	}
}

// has reports whether something is wrong with a message.
func (s *faultSet) has(uid uint32) bool { return s.of[uid/faultsTogether][uid%faultsTogether] != 0 }

// describe says what is wrong with a message that has a fault.
func (s *faultSet) describe(uid uint32) (mark report.Mark, what string) {
	mark = report.CyrusOnly // Unreadable comes before Differs, and both before this
	for kind, f := range faultKinds {
		if s.of[uid/faultsTogether][uid%faultsTogether]&(1<<kind) == 0 {
			continue
		}
		mark = min(mark, f.mark)
		if what != "" {
			what += ", "
		}
		what += f.what
	}
	if said, known := s.told[uid]; known {
		what = said
	}
	return mark, what
}

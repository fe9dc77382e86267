package ledger

import (
	"cmp"
	"maps"
	"slices"
)

// mailboxes know where in the journal the last line about each mailbox is: by Cyrus's internal
// name, by user and by unique id. What these lines say is kept of a few mailboxes only, since
// a host may have a hundred thousand.
type mailboxes struct {
	byName map[string]*known
	byUser map[RawName][]*known // some may be of others, or removed, by now, and some twice
	byID   map[string]*known    // it may have another one, or be removed, by now
	next   int

	kept   []*known // whose box is not nil
	oldest int      // of kept, once it is full
}

// maxKept is how many mailboxes are kept as they are: all of most hosts, and those of some
// hundred users of a larger one.
const maxKept = 2048

// known is a mailbox that the journal has.
type known struct {
	name, id string
	user     RawName
	place    int      // in the order in which they were begun
	at       span     // of its last line
	box      *Mailbox // what that says; nil: it is to be read again
}

// span is where a line is in the journal.
type span struct {
	offset int64
	length int
}

// put takes the new state of a mailbox, and where the journal has it.
func (b *mailboxes) put(m *Mailbox, at span) {
	if b.byName == nil {
		b.byName, b.byUser, b.byID = map[string]*known{}, map[RawName][]*known{}, map[string]*known{}
	}
	k, have := b.byName[m.Name]
	if !have {
		k = &known{name: m.Name, place: b.next}
		b.next++
		b.byName[m.Name] = k
	}
	if !have || k.user != m.User {
		k.user = m.User
		// Also where it was the user's before: to look for it would take the square of his folders.
		b.byUser[m.User] = append(b.byUser[m.User], k)
	}
	if k.id != m.UniqueID || !have {
		k.id = m.UniqueID
		b.byID[m.UniqueID] = k
	}
	k.at = at
	b.keep(k, m)
}

// keep keeps what the last line about a mailbox says, in the place of what was kept longest.
func (b *mailboxes) keep(k *known, m *Mailbox) {
	switch {
	case k.box != nil: // it has its place
	case len(b.kept) < maxKept:
		b.kept = append(b.kept, k)
	default:
		b.kept[b.oldest].box = nil
		b.kept[b.oldest] = k
		b.oldest = (b.oldest + 1) % maxKept
	}
	k.box = m
}

// withID returns the one with a unique id, nil if there is none.
func (b *mailboxes) withID(id string) *known {
	if k := b.byID[id]; k != nil && b.has(k) && k.id == id {
		return k
	}
	return nil
}

// has reports whether a mailbox was not removed.
func (b *mailboxes) has(k *known) bool { return b.byName[k.name] == k }

func (b *mailboxes) remove(name string) { delete(b.byName, name) }

// of returns those of a user, in order.
func (b *mailboxes) of(user RawName) []*known {
	var list []*known
	for _, k := range b.byUser[user] {
		if b.has(k) && k.user == user {
			list = append(list, k)
		}
	}
	return slices.Compact(inOrder(list))
}

// all returns all of them, in order.
func (b *mailboxes) all() []*known { return inOrder(slices.Collect(maps.Values(b.byName))) }

func inOrder(list []*known) []*known {
	slices.SortFunc(list, func(a, b *known) int { return cmp.Compare(a.place, b.place) })
	return list
}

package ledger

import (
	"cmp"
	"maps"
	"slices"
)

// mailboxes are what is known, by Cyrus's internal name and by user.
type mailboxes struct {
	byName map[string]*numbered
	byUser map[RawName][]string // names; some may be of others, or of nobody, by now, and some twice
	byID   map[string]string    // name by unique id; it may have another one, or be nobody's, by now
	next   int
}

// numbered is a mailbox with its place in the order in which they were begun.
type numbered struct {
	Mailbox
	place int
}

// put takes the new state of a mailbox.
func (b *mailboxes) put(m Mailbox) {
	if b.byName == nil {
		b.byName, b.byUser, b.byID = map[string]*numbered{}, map[RawName][]string{}, map[string]string{}
	}
	box, known := b.byName[m.Name]
	if !known {
		box = &numbered{place: b.next}
		b.next++
		b.byName[m.Name] = box
	}
	if !known || box.User != m.User {
		// Also where it was the user's before: to look for it would take the square of his folders.
		b.byUser[m.User] = append(b.byUser[m.User], m.Name)
	}
	box.Mailbox = m
	b.byID[m.UniqueID] = m.Name
}

// withID returns the one with a unique id.
func (b *mailboxes) withID(id string) (Mailbox, bool) {
	if m, ok := b.byName[b.byID[id]]; ok && m.UniqueID == id {
		return m.Mailbox, true
	}
	return Mailbox{}, false
}

func (b *mailboxes) remove(name string) { delete(b.byName, name) }

// of returns those of a user, in order.
func (b *mailboxes) of(user RawName) []Mailbox {
	var list []*numbered
	for _, name := range b.byUser[user] {
		if m, ok := b.byName[name]; ok && m.User == user {
			list = append(list, m)
		}
	}
	return inOrder(list)
}

// all returns all of them, in order.
func (b *mailboxes) all() []Mailbox {
	return inOrder(slices.Collect(maps.Values(b.byName)))
}

// inOrder sorts what may be in list more than once.
func inOrder(list []*numbered) []Mailbox {
	slices.SortFunc(list, func(a, b *numbered) int { return cmp.Compare(a.place, b.place) })
	list = slices.Compact(list)
	boxes := make([]Mailbox, len(list))
	for i, m := range list {
		boxes[i] = m.Mailbox
	}
	return boxes
}

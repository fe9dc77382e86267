package migrate

import (
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// mailbox is one mailbox of the user who is being migrated.
type mailbox struct {
	folder *plan.Folder // nil: only a parent
	entry  reconstruct.Entry
	rec    ledger.Mailbox
	todo   action
	before *ledger.Mailbox // what an earlier pass made of it, to be changed into what the source is now
	update bool            // and Cyrus's files are as that pass left them
	append bool            // Cyrus has messages of its own there: ours are added behind them
	asLeft bool            // and ours, from FirstUID on, are as an earlier pass left them
	// mixed says that a run that was cut off wrote another into this one's directory, which Cyrus
	// never knew. It may have found messages of it there.
	mixed bool
	// again says that the folder changed while it was read: message files that were written
	// then may not be what it has now.
	again bool
	// entered says that Cyrus knew the mailbox before this run: clients may have seen it.
	entered bool
	// userModSeq is above all that the user's mailboxes had when it was decided what is to be done.
	userModSeq uint64
	// index is as it was when it was decided what is to be done.
	index cyrusspool.IndexState

	written  int64
	verified int64
	doubts   map[string]int64
}

// noIndex reports whether there was no index where Cyrus looks for it.
func (m *mailbox) noIndex() bool { return m.index == cyrusspool.IndexState{} }

func (m *mailbox) folderName() string {
	if m.folder == nil {
		return ""
	}
	return m.folder.File.Name
}

func (m *mailbox) specialUse() string {
	if m.folder == nil {
		return ""
	}
	return m.folder.SpecialUse
}

// action is what a mailbox needs in this run.
type action int

const (
	nothing action = iota // an earlier run finished it and it is as it was left
	fill                  // everything
	enter                 // filled by an earlier run that was cut off: from there on
	leave                 // not to be touched; reported
)

// job is the work on one user.
type job struct {
	user  *plan.User
	boxes []*mailbox
}

// work are the mailboxes to be entered, rebuilt and verified.
func (j *job) work() (work []*mailbox) {
	for _, m := range j.boxes {
		if m.todo == fill || m.todo == enter {
			work = append(work, m)
		}
	}
	return work
}

// toFill are those of the mailboxes that are to be filled.
func (j *job) toFill() (todo []*mailbox) {
	for _, m := range j.boxes {
		if m.todo == fill {
			todo = append(todo, m)
		}
	}
	return todo
}

func (j *job) messages() (n int64) {
	for _, m := range j.work() {
		n += m.rec.Messages
	}
	return n
}

func (e *Engine) place(m *mailbox) cyrusspool.Place { return e.Cyrus.Place(m.rec.Partition, m.rec.Dir) }

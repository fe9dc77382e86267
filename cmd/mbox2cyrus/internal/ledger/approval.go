package ledger

import (
	"path/filepath"
	"time"
)

// heldDir has what is held of each mailbox.
const heldDir = "held"

// HeldDir returns the directory of what is held. It may not be there.
func (l *Ledger) HeldDir() string { return filepath.Join(l.dir, heldDir) }

// Approval says that a person knows of held items, and that the migration is complete
// without them.
type Approval struct {
	Time    time.Time      `json:"time"`
	By      string         `json:"by"`
	Comment string         `json:"comment,omitempty"`
	Items   []ApprovedItem `json:"items"`
}

// ApprovedItem is one of them. What it was stays readable here when the held files are
// gone.
type ApprovedItem struct {
	ID     string  `json:"id"`
	User   RawName `json:"user"`
	Folder RawName `json:"folder"`
	Offset int64   `json:"offset"`
	Length int64   `json:"length"`
	Reason string  `json:"reason"`
}

// Approve records an approval and syncs it to disk.
func (l *Ledger) Approve(a Approval) error {
	if err := l.write(line{Approval: &a}); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.putApproval(a)
	return nil
}

func (l *Ledger) putApproval(a Approval) {
	for _, it := range a.Items {
		l.approved[it.ID] = approvedBy{a.By, a.Time}
	}
}

// approvedBy is what is remembered of an approval.
type approvedBy struct {
	by   string
	time time.Time
}

// Approved tells who approved of the held item with that id, and when. ok is false if
// nobody did.
func (l *Ledger) Approved(id string) (by string, at time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.approved[id]
	return a.by, a.time, ok
}

package plan

import (
	"fmt"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// Size is how much mail something holds, as Cyrus stores it.
type Size struct{ Bytes, Messages, Folders int64 }

// Plus is both together; Minus what is left without the other.
func (s Size) Plus(o Size) Size {
	return Size{s.Bytes + o.Bytes, s.Messages + o.Messages, s.Folders + o.Folders}
}

// Minus is what is left of s without o.
func (s Size) Minus(o Size) Size {
	return Size{s.Bytes - o.Bytes, s.Messages - o.Messages, s.Folders - o.Folders}
}

// QuotaLoads are what comes to quota roots.
type QuotaLoads map[cyrusspool.Name]*QuotaLoad

// QuotaLoad is what comes to one quota root, and whose it is.
type QuotaLoad struct {
	More  Size
	user  string
	users int
}

// Add adds what comes to a root for a user; root may be "", which is none.
func (l QuotaLoads) Add(root cyrusspool.Name, user string, more Size) {
	if root == "" {
		return
	}
	load := l[root]
	if load == nil {
		load = &QuotaLoad{}
		l[root] = load
	}
	load.More = load.More.Plus(more)
	if load.user != user {
		load.user = user
		load.users++
	}
}

// nearQuota is how full a quota is, in percent, that is told of.
const nearQuota = 90

// Problem tells that a quota is passed, or nearly, with what comes. It is not ok if there
// is nothing to tell.
func (l *QuotaLoad) Problem(q reconstruct.Quota) (p report.Problem, ok bool) {
	p = report.Problem{Offset: -1, User: l.user}
	if l.users > 1 {
		p.User = "" // it is of several
	}
	for _, r := range []struct {
		reconstruct.Resource
		more int64
		unit string
	}{{q.Storage, l.More.Bytes, "bytes"}, {q.Messages, l.More.Messages, "messages"}, {q.Folders, l.More.Folders, "mailboxes"}} {
		used := fmt.Sprintf("%d %s are used", r.Used, r.unit)
		if l.More != (Size{}) {
			used += fmt.Sprintf(" and %d come", r.more)
		}
		switch over := r.Over(r.more); {
		case over > 0:
			p.Severity, p.Kind = report.Attention, "over-quota"
			p.Text = fmt.Sprintf("quota root %s: %s, of %d that are allowed: %d too many. All mail comes, but Cyrus takes no new mail there until it is less or the quota is raised", q.Root, used, r.Limit, over)
			return p, true
		case !ok && r.Limit > 0 && float64(r.Used+r.more) > float64(r.Limit)*nearQuota/100:
			p.Severity, p.Kind, ok = report.Note, "near-quota", true
			p.Text = fmt.Sprintf("quota root %s: %s, of %d that are allowed: more than %d %%", q.Root, used, r.Limit, nearQuota)
		}
	}
	return p, ok
}

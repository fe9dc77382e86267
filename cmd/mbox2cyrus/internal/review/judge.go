package review

import (
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/history"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// count takes a problem of a user.
func (u *User) count(p Problem) {
	for i, n := range []*int64{&u.Notes, &u.Attentions, &u.Failures, &u.Diffs} {
		if p.Severity == severities[i] {
			*n += p.Count
		}
	}
}

// judge says what state a user is in, by the ledger and by all that was said.
func (u *User) judge() {
	switch {
	case u.Diffs > 0:
		u.State = Differs
		if said, ok := u.host.verify.Users[string(u.Name)]; ok {
			u.Verified = min(u.Verified, said.Verified)
		}
	case u.Failures > 0:
		u.State = worse(u.State, Failed)
	case u.Attentions > 0: // what is held and not approved of is among them
		u.State = worse(u.State, Attention)
	}
}

// HadTurn reports whether the last migrate that ought to have come to the user did.
func (u *User) HadTurn() bool { return u.host.migrate.HadTurn(string(u.Name)) }

func worse(a, b State) State {
	if slices.Index(States, b) > slices.Index(States, a) {
		return b
	}
	return a
}

// judge says what state a host is in by itself, users apart.
func (h *Host) judge(said map[string]int) {
	h.State = Proved
	states := []State{Proved, Attention, Failed, Differs}
	for i, severity := range severities {
		if said[severity] > 0 {
			h.State = worse(h.State, states[i])
		}
	}
	last := h.migrate.Last()
	if last == nil {
		h.State, h.Why = worse(h.State, Unfinished), "there is no history of a run; its ledger alone is told of"
		return
	}
	// A run for named users, or for another shard, does not do what one for all left undone.
	for _, whole := range h.migrate.Wholes() {
		if whole == last {
			continue
		}
		of := "for all users"
		if whole.Shard != "" {
			of = "of shard " + whole.Shard
		}
		h.judgeEnd(whole, "the last run "+of+" was cut off", "the last run "+of+" was stopped by a signal")
	}
	h.judgeEnd(last, "the last run was cut off, or is going on", "the last run was stopped by a signal")
}

// judgeEnd says so if a run did not come to its end.
func (h *Host) judgeEnd(run *history.Run, cutOff, stopped string) {
	switch {
	case run.End == nil:
		h.State, h.Why = worse(h.State, Unfinished), cutOff
	case run.End.ExitCode == report.ExitInterrupt || run.End.ExitCode == report.ExitTerminated:
		h.State, h.Why = worse(h.State, Unfinished), stopped
	}
}

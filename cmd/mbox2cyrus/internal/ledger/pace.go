package ledger

// Pace is how fast runs were, by what they recorded: for one, the seconds it takes with
// nothing to do, for the other the bytes of changed folders that it brings in one more
// second.
type Pace struct{ Idle, BytesPerSecond float64 }

// learn takes up what another run measured. The least time that a run took is that with
// nothing to do; the last large one tells the speed.
func (p *Pace) learn(e End) {
	if e.Seconds <= 0 || e.ExitCode != 0 && e.ExitCode != 2 {
		return
	}
	if p.Idle == 0 || e.Seconds < p.Idle {
		p.Idle = e.Seconds
	}
	if e.Bytes > 0 && (e.Bytes >= 1<<20 || p.BytesPerSecond == 0) {
		p.BytesPerSecond = float64(e.Bytes) / e.Seconds
	}
}

// Pace returns how fast earlier runs were; its BytesPerSecond is 0 if there were none.
func (l *Ledger) Pace() Pace { return l.pace }

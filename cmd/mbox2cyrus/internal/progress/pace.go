package progress

import (
	"fmt"
	"time"
)

// Amount is how much a run has to read.
type Amount struct {
	Bytes    int64
	Messages int64 // that an earlier pass counted
	New      int64 // of the bytes, those of folders whose messages nobody has counted yet
}

// Plus returns the sum of both.
func (a Amount) Plus(b Amount) Amount {
	return Amount{a.Bytes + b.Bytes, a.Messages + b.Messages, a.New + b.New}
}

const (
	// messageCost is how many bytes take as long as the making of one message file: a
	// host of small messages is slower than its bytes say. It need not be exact, for
	// the pace itself is measured.
	messageCost = 20e3
	// usualMessage is the size of a message as long as none was seen.
	usualMessage = 10e3
	// rateSpan is how far the rates look back.
	rateSpan = 30 * time.Second
	// leastElapsed is how long a run must last before it foretells its end.
	leastElapsed = 3 * time.Second
)

// pace tells how fast a run is and when it will end.
type pace struct {
	start   time.Time
	samples []sample // of the last rateSpan, a second apart; the first may be older
}

type sample struct {
	at              time.Time
	bytes, messages int64
}

// add takes a sample.
func (p *pace) add(at time.Time, bytes, messages int64) {
	for len(p.samples) > 1 && at.Sub(p.samples[1].at) >= rateSpan {
		p.samples = p.samples[1:]
	}
	p.samples = append(p.samples, sample{at, bytes, messages})
}

// rates returns bytes and messages a second, in the last rateSpan before now.
func (p *pace) rates(now sample) (bytes, messages float64) {
	if len(p.samples) == 0 {
		return 0, 0
	}
	first := p.samples[0]
	seconds := now.at.Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0, 0
	}
	return float64(now.bytes-first.bytes) / seconds, float64(now.messages-first.messages) / seconds
}

// expected returns how many messages there are in all: those that were counted, and for
// the rest as many as their bytes have at the size of those read so far.
func (a Amount) expected(done sample) float64 {
	size := float64(usualMessage)
	if done.messages > 0 && done.bytes > 0 {
		size = float64(done.bytes) / float64(done.messages)
	}
	return max(float64(done.messages), float64(a.Messages)+float64(a.New)/size)
}

// left returns how long the run will still take, by bytes and by messages; negative if
// that cannot be told yet.
func (p *pace) left(total Amount, now sample) time.Duration {
	elapsed := now.at.Sub(p.start)
	done := float64(now.bytes) + messageCost*float64(now.messages)
	if elapsed < leastElapsed || now.messages == 0 {
		return -time.Second
	}
	todo := float64(total.Bytes-now.bytes) + messageCost*(total.expected(now)-float64(now.messages))
	return time.Duration(todo / done * float64(elapsed))
}

// size writes a number of bytes for people: "999 B", "12.3 MB".
func size(bytes float64) string {
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if bytes < 999.5 {
			if unit == "B" || bytes >= 99.5 {
				return fmt.Sprintf("%.0f %s", bytes, unit)
			}
			return fmt.Sprintf("%.1f %s", bytes, unit)
		}
		bytes /= 1000
	}
	return fmt.Sprintf("%.1f TB", bytes)
}

// span writes a time for people: "8 s", "3 min", "2 h 05 min".
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", max(0, d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
}

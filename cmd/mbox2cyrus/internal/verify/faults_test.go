package verify

import (
	"runtime"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/internal/beside"
)

// TestFaultsMemory: where every message of a large folder differs, which one byte at its
// beginning can do, a few bytes are remembered of each, whether or not each is told of.
func TestFaultsMemory(t *testing.T) {
	const messages = 100_000
	for _, test := range []struct {
		name string
		tell func(report.Message)
		step uint32 // from one UID to the next
		most uint64 // bytes a message
	}{
		{"not told of", nil, 1, 4},
		{"told of", func(report.Message) {}, 1, 5},
		{"UIDs far apart", nil, 100, 64},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := &Verifier{Message: test.tell, idle: &beside.Pool{}}
			s := v.newContentCheck(ledger.Mailbox{}, cyrusspool.OneRoot(t.TempDir()).At("box"))
			s.checked = func(ledger.Message) error { return nil }
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for n := range uint32(messages) {
				m := ledger.Message{UID: 1 + n*test.step}
				if n%2 == 0 {
					s.missing(m)
				} else if err := s.check(m, nil); err != nil { // its message file is missing
					t.Fatal(err)
				}
			}
			if err := s.finish(nil); err != nil {
				t.Fatal(err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			n := (after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)) / messages
			t.Logf("%d bytes a message", n)
			if n > test.most {
				t.Errorf("%d bytes are remembered of each message, want no more than %d", n, test.most)
			}
			runtime.KeepAlive(s)
		})
	}
}

// TestFaultsTold: of the first, everything is said; of the others, what they lack.
func TestFaultsTold(t *testing.T) {
	s := faultSet{tells: true}
	for uid := uint32(1); uid <= maxToldInFull+1; uid++ {
		s.add(uid, faultContent, "its message file (1 byte) is not what the source holds (2 bytes)")
		s.add(uid, faultSourceChanged, "the source is not as it was migrated (UID 7)")
	}
	s.add(maxToldInFull+2, faultSourceMissing, "the source no longer has it")
	s.add(maxToldInFull+3, faultSourceChanged, "the source is not as it was migrated (UID 7)")
	s.add(maxToldInFull+3, faultFileUnreadable, "its message file cannot be read: EIO")
	for _, test := range []struct {
		uid  uint32
		mark report.Mark
		what string
	}{
		{1, report.Differs, "its message file (1 byte) is not what the source holds (2 bytes), the source is not as it was migrated (UID 7)"},
		{maxToldInFull, report.Differs, "its message file (1 byte) is not what the source holds (2 bytes), the source is not as it was migrated (UID 7)"},
		{maxToldInFull + 1, report.Differs, "its message file is not what the source holds, the source is not as it was migrated"},
		{maxToldInFull + 2, report.CyrusOnly, "the source no longer has it"},
		{maxToldInFull + 3, report.Unreadable, "its message file cannot be read, the source is not as it was migrated"},
	} {
		if mark, what := s.describe(test.uid); !s.has(test.uid) || mark != test.mark || what != test.what {
			t.Errorf("UID %d: %c %s, want %c %s", test.uid, mark, what, test.mark, test.what)
		}
	}
	if s.has(0) || s.has(maxToldInFull+4) || (&faultSet{}).has(1) {
		t.Error("what has no fault has one")
	}
}

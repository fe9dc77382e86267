package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cyrusspool"
)

// pastMail is a message of a past: its number, which is its text, and its flags. uid is the
// source's own, or where Cyrus has it.
type pastMail struct {
	n     int
	flags string // of "RAFDT" as in UW's Status fields
	uid   uint32
}

// pastFolder is a folder of a past.
type pastFolder struct {
	path  string // on the UW host
	box   string // of Cyrus, below user/joe
	there bool
	own   bool // it has UIDs of its own
	last  uint32
	mail  []pastMail

	base   []pastMail       // what Cyrus had before the first pass, or is its users' affair since
	ours   map[int]bool     // messages in base that passes have brought
	states [][]pastMail     // since the last pass that came to its end, that one's first
	known  bool             // a pass may have brought it
	uids   map[int][]uint32 // of messages by their number, as that pass left them
}

// past is a UW host that changes, passes over it that are killed or not, undos and looks
// of clients, in random order.
type past struct {
	*cutHost
	rnd     *rand.Rand
	folders []*pastFolder
	next    int
	merge   bool
	looked  bool // a client has looked since the last pass
	clients bool // they change mail too; what the host has more is appended then
	whole   bool // nothing has happened since a pass that came to its end
	log     []string
}

// TestHistories: whatever happened, a pass that comes to its end brings what the host has
// then, keeps the UIDs of what stayed and the mail of folders that are gone, and undo takes
// all of it back. Only the moments of kills are by the clock; MBOX2CYRUS_EVERY_FAULT tries many
// that nobody has tried, and MBOX2CYRUS_SEED one again.
func TestHistories(t *testing.T) {
	seed, histories := uint64(1), 3
	if everyFault {
		seed, histories = uint64(time.Now().UnixNano()), 100
	}
	if s := os.Getenv("MBOX2CYRUS_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	for i := range histories {
		seed := seed + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			h := newPast(t, rand.New(rand.NewPCG(seed, 0)))
			defer func() {
				if t.Failed() {
					t.Logf("it can be tried again with MBOX2CYRUS_SEED=%d:\n%s", seed, strings.Join(h.log, "\n"))
				}
			}()
			for range 14 {
				h.step()
			}
			h.wholePass()
		})
	}
}

func newPast(t *testing.T, rnd *rand.Rand) *past {
	opts := cyrustest.Options{LegacyDirs: true}
	if rnd.IntN(3) == 0 {
		opts.Extra = []string{"conversations: yes"}
	}
	h := &past{cutHost: &cutHost{newPassHost(t), cyrustest.ForTest(t, opts), filepath.Join(t.TempDir(), "state")}, rnd: rnd, next: 1}
	h.folders = []*pastFolder{
		{path: "var/mail/joe"},
		{path: "home/joe/mail/play", box: "play"},
		{path: "home/joe/mail/work/2003", box: "work/2003"},
		{path: "home/joe/mail/work/2004", box: "work/2004"},
	}
	h.write("var/mail/kim", "") // no user of this host
	h.write("home/joe/.mailboxlist", "")
	h.clients = rnd.IntN(4) == 0
	if h.merge = !h.clients && rnd.IntN(3) == 0; h.merge {
		h.log = append(h.log, "joe has mail in Cyrus")
		old := newPassHost(t)
		for _, f := range h.folders[:2] {
			var text string
			for range 1 + rnd.IntN(3) {
				f.base = append(f.base, pastMail{n: h.next, uid: uint32(len(f.base) + 1)})
				text += letter(h.next)
				h.next++
			}
			old.write(f.path, text)
		}
		h.pass(0, append([]string{"migrate"}, flagsFor(h.srv, old.root, filepath.Join(t.TempDir(), "old"))...)...)
	}
	for _, f := range h.folders[1:] {
		h.appear(f)
	}
	return h
}

// step is one thing that happens.
func (h *past) step() {
	f := h.folders[h.rnd.IntN(len(h.folders))]
	whole := h.whole
	h.whole = false
	switch n := h.rnd.IntN(20); {
	case n < 10:
		h.change(f)
	case n < 11 && f.there:
		h.say("%s is gone", f.path)
		f.there = false
		if err := os.Remove(filepath.Join(h.root, f.path)); err != nil {
			h.t.Fatal(err)
		}
	case n < 12 && !f.there:
		h.appear(f)
	case n < 15:
		after := time.Duration(h.rnd.IntN(500)) * time.Millisecond
		h.say("a pass is killed after %v", after)
		h.mayCome()
		killedAfter(h.t, after, h.args("migrate", "--quiet")...)
	case n < 16 && !h.merge: // whose mail is Cyrus's affair once somebody has looked at it
		h.look()
	case n < 17 && h.clients && whole:
		h.touch(f)
	case n < 17 && !h.clients && !h.looked:
		h.undo()
	default:
		h.wholePass()
	}
}

func (h *past) say(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

func (h *past) args(command string, more ...string) []string {
	args := append([]string{command, "--jobs", fmt.Sprint(1 + h.rnd.IntN(2))}, more...)
	switch {
	case command != "migrate":
	case h.merge:
		args = append(args, "--merge")
	case h.clients:
		args = append(args, "--on-conflict", "append")
	}
	return append(args, flagsFor(h.srv, h.root, h.state)...)
}

// appear makes a folder be there, with what it had if it was there before.
func (h *past) appear(f *pastFolder) {
	f.there = true
	h.say("%s is there", f.path)
	h.change(f)
}

// change changes messages of a folder, if it is there, and writes it.
func (h *past) change(f *pastFolder) {
	if !f.there {
		return
	}
	for range 1 + h.rnd.IntN(3) {
		switch n := h.rnd.IntN(10); {
		case n < 5 || len(f.mail) == 0:
			at := len(f.mail)
			if !f.own && h.rnd.IntN(4) == 0 {
				at = h.rnd.IntN(at + 1)
			}
			f.last++
			f.mail = slices.Insert(f.mail, at, pastMail{n: h.next, uid: f.last})
			h.next++
		case n < 7:
			at := h.rnd.IntN(len(f.mail))
			f.mail = slices.Delete(f.mail, at, at+1)
		case n < 9:
			f.mail[h.rnd.IntN(len(f.mail))].flags = []string{"", "R", "RF", "A", "RD", "T"}[h.rnd.IntN(6)]
		case !f.own && h.rnd.IntN(3) == 0:
			h.say("UW opened %s", f.path)
			f.own, f.uids = true, nil
			for i := range f.mail {
				f.mail[i].uid = uint32(i + 1)
			}
			f.last = uint32(len(f.mail))
		}
	}
	var text strings.Builder
	for i, m := range f.mail {
		status, more := "O", ""
		for _, c := range m.flags {
			if c == 'R' {
				status = "RO"
			} else {
				more += string(c)
			}
		}
		fields := []string{"Status: " + status}
		if more != "" {
			fields = append(fields, "X-Status: "+more)
		}
		if f.own {
			fields = append(fields, fmt.Sprintf("X-UID: %d", m.uid))
			if i == 0 {
				fields = append([]string{fmt.Sprintf("X-IMAPbase: 1060000000 %010d", f.last)}, fields...)
			}
		}
		text.WriteString(letter(m.n, fields...))
	}
	h.write(f.path, text.String())
	h.say("%s has %v", f.path, f.mail)
}

// mayCome takes down what a pass that begins now may bring.
func (h *past) mayCome() {
	for _, f := range h.folders {
		if f.there {
			f.known = true
			f.states = append(f.states, slices.Clone(f.mail))
		}
	}
}

// wholePass runs the program to its end, and looks at everything.
func (h *past) wholePass() {
	h.t.Helper()
	h.say("a whole pass")
	h.mayCome()
	code := 0
	for _, f := range h.folders {
		if f.known && !f.there {
			code = 2
		}
	}
	o := runJSON(h.t, h.args("migrate")...)
	// A run that was cut off before it began a folder knows nothing of it. And what clients
	// changed is told of.
	if o.code != code && !(code == 2 && o.code == 0) && !(h.clients && o.code == 2) {
		h.t.Fatalf("exit code %d, want %d\n%s", o.code, code, o.stderr)
	}
	for _, f := range h.folders {
		h.compare(f)
	}
	// A folder that is gone before any of it was in Cyrus is told of once, by that pass.
	onlyBegun := slices.ContainsFunc(o.problems("source-gone"), func(p map[string]any) bool {
		return strings.Contains(p["text"].(string), "a run was cut off while it wrote")
	})
	if v := runJSON(h.t, append([]string{"verify", "--level", "content"}, flagsFor(h.srv, h.root, h.state)...)...); v.code != o.code && !h.clients && !(onlyBegun && v.code == 0) {
		h.t.Errorf("verify: exit code %d, want %d\n%s", v.code, o.code, v.stderr)
	}
	h.looked = false
	h.whole = true
	if h.t.Failed() {
		h.t.FailNow()
	}
}

// touch lets a client flag a message and save another, in a folder that Cyrus has.
func (h *past) touch(f *pastFolder) {
	if have := h.inCyrus(f); len(have) == 0 {
		return
	}
	h.say("a client changes %s", f.path)
	name := cmp.Or(f.box, "INBOX")
	useCyrus(h.t, h.srv, func(c *imapclient.Client) error {
		text := fmt.Sprintf("Subject: %d\r\n\r\nbody %[1]d\r\n", h.next)
		h.next++
		a := c.Append(name, int64(len(text)), nil)
		if _, err := a.Write([]byte(text)); err != nil {
			return err
		}
		if err := a.Close(); err != nil {
			return err
		}
		if _, err := a.Wait(); err != nil {
			return err
		}
		if _, err := c.Select(name, nil).Wait(); err != nil {
			return err
		}
		return c.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close()
	})
	f.base, f.ours, f.uids = h.inCyrus(f), map[int]bool{}, nil
	for _, m := range f.base {
		f.ours[m.n] = true
	}
	h.say("%s has %v in Cyrus", f.path, f.base)
}

// compare compares what Cyrus has with what the host has, or had.
func (h *past) compare(f *pastFolder) {
	h.t.Helper()
	have := h.inCyrus(f)
	if len(have) < len(f.base) || !slices.Equal(have[:len(f.base)], f.base) {
		h.t.Errorf("%s: Cyrus had %v before, and has %v", f.path, f.base, have)
		return
	}
	have = have[len(f.base):]
	same := func(want []pastMail) bool {
		sorted := func(mail []pastMail) []pastMail {
			mail = slices.DeleteFunc(slices.Clone(mail), func(m pastMail) bool { return f.ours[m.n] })
			for i := range mail {
				if !f.own || len(f.base) > 0 {
					mail[i].uid = 0
				}
			}
			slices.SortFunc(mail, func(a, b pastMail) int { return a.n - b.n })
			return mail
		}
		return slices.Equal(sorted(want), sorted(have))
	}
	switch {
	case f.there && !same(f.mail):
		h.t.Errorf("%s: Cyrus has %v, must have %v", f.path, have, f.mail)
	case !f.there && len(have) > 0 && !slices.ContainsFunc(f.states, same):
		h.t.Errorf("%s is gone: Cyrus has %v, must have one of %v", f.path, have, f.states)
	}
	uids := map[int][]uint32{}
	for _, m := range have {
		uids[m.n] = append(uids[m.n], m.uid)
	}
	for n, was := range f.uids {
		if now := uids[n]; len(now) > 0 && !slices.Equal(was, now) {
			h.t.Errorf("%s: message %d has UID %d, had %d", f.path, n, now, was)
		}
	}
	f.uids = uids
	f.states = [][]pastMail{slices.Clone(f.mail)}
	if !f.there {
		f.states[0] = slices.Clone(have)
	}
}

// inCyrus reads index and message files.
func (h *past) inCyrus(f *pastFolder) (mail []pastMail) {
	h.t.Helper()
	dir := h.box(f.box)
	file, index, err := cyrusspool.OneRoot(filepath.Dir(dir)).At(filepath.Base(dir)).OpenIndex()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		h.t.Fatal(err)
	}
	defer file.Close() // read only
	for {
		r, err := index.Next()
		if err == io.EOF {
			return mail
		}
		if err != nil {
			h.t.Fatal(err)
		}
		if r.Gone() {
			continue
		}
		m := pastMail{uid: r.UID}
		for _, flag := range []struct {
			bit  uint32
			name string
		}{{cyrusspool.FlagSeen, "R"}, {cyrusspool.FlagAnswered, "A"}, {cyrusspool.FlagFlagged, "F"}, {cyrusspool.FlagDeleted, "D"}, {cyrusspool.FlagDraft, "T"}} {
			if r.SystemFlags&flag.bit != 0 {
				m.flags += flag.name
			}
		}
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.", r.UID)))
		if err != nil {
			h.t.Errorf("%s: %v", f.path, err)
			continue
		}
		if _, err := fmt.Sscanf(string(text), "Subject: %d\r\n", &m.n); err != nil || !bytes.Contains(text, fmt.Appendf(nil, "body %d\r\n", m.n)) {
			h.t.Errorf("%s: UID %d is %q", f.path, r.UID, text)
		}
		mail = append(mail, m)
	}
}

// look lets a client look at everything.
func (h *past) look() {
	h.say("a client looks")
	h.looked = true
	useCyrus(h.t, h.srv, func(c *imapclient.Client) error {
		all, err := c.List("", "*", nil).Collect()
		for _, box := range all {
			if _, err := c.Select(box.Mailbox, nil).Wait(); err != nil {
				return err
			}
			if _, err := c.UIDSearch(&imap.SearchCriteria{}, nil).Wait(); err != nil {
				return err
			}
		}
		return err
	})
}

// undo takes everything back, now and then killed before.
func (h *past) undo() {
	args := append([]string{"undo", "--all"}, cyrusFlagsFor(h.srv, h.state)...)
	if h.rnd.IntN(2) == 0 {
		after := time.Duration(h.rnd.IntN(300)) * time.Millisecond
		h.say("an undo is killed after %v", after)
		killedAfter(h.t, after, append(args, "--quiet")...)
	}
	h.say("an undo")
	o := runJSON(h.t, args...)
	if o.code == 2 && strings.Contains(o.stderr, "run migrate to its end first") {
		h.wholePass()
		o = runJSON(h.t, args...)
	}
	want := 0
	if !ledger.Exists(h.state) { // no pass has begun
		want = 64
	}
	if o.code != want {
		h.t.Fatalf("undo: exit code %d, want %d\n%s", o.code, want, o.stderr)
	}
	for _, f := range h.folders {
		if have := h.inCyrus(f); !slices.Equal(have, f.base) {
			h.t.Errorf("after undo, %s: Cyrus has %v, had %v", f.path, have, f.base)
		}
		f.states, f.known, f.uids, f.ours = nil, false, nil, nil
	}
	var boxes []string
	for _, f := range h.folders {
		if len(f.base) > 0 {
			boxes = append(boxes, strings.TrimSuffix("user/joe/"+f.box, "/"))
		}
	}
	dump, err := h.srv.Run(h.t.Context(), "ctl_mboxlist", "-d")
	if err != nil {
		h.t.Fatal(err)
	}
	if strings.Contains(dump, "joe") != (len(boxes) > 0) {
		h.t.Errorf("after undo Cyrus knows\n%s", dump)
	}
	if h.t.Failed() {
		h.t.FailNow()
	}
}

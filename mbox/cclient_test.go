package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mbox2cyrus/internal/cclient"
)

// collected is all that a Mailbox says.
type collected struct {
	messages []Message
	texts    []string
	findings []Finding
	mailbox  Mailbox
}

// lostText is in the place of the text of a message that cannot be read.
const lostText = "\x00unreadable"

// collect reads a mailbox to its end and writes the messages that write chooses. open is
// given opts with a place for the findings.
func collect(opts Options, write func(n int) bool, open func(Options) (Mailbox, error)) (res collected, err error) {
	opts.Findings = func(f Finding) { res.findings = append(res.findings, f) }
	if res.mailbox, err = open(opts); err != nil {
		return res, err
	}
	for {
		m, err := res.mailbox.Next()
		if err == io.EOF {
			return res, nil
		}
		if err != nil {
			return res, err
		}
		var b bytes.Buffer
		if write(m.Number) {
			if n, err := m.WriteTo(&b); errors.Is(err, ErrUnreadable) {
				b.Reset()
				b.WriteString(lostText)
			} else if err != nil || n != int64(b.Len()) {
				return res, fmt.Errorf("message %d: wrote %d of %d bytes: %w", m.Number, n, b.Len(), err)
			}
		}
		res.messages, res.texts = append(res.messages, *m), append(res.texts, b.String())
	}
}

// kinds are those of the findings, sorted, each once.
func (res *collected) kinds() []Kind {
	var kinds []Kind
	for _, f := range res.findings {
		kinds = append(kinds, f.Kind)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// checkUW holds what was read to what c-client shows: count, UIDs, UIDVALIDITY, UIDNEXT,
// flags, keywords, dates and bytes. normalise is applied to c-client's bytes, for repairs
// that are ours; nil if there are none.
func checkUW(t testing.TB, want cclient.Mailbox, res *collected, normalise func(string) string) {
	t.Helper()
	if want.Refused {
		t.Fatal("c-client does not open it")
	}
	if len(res.messages) != len(want.Messages) {
		t.Fatalf("%d messages, c-client has %d", len(res.messages), len(want.Messages))
	}
	// A UIDVALIDITY that c-client makes up is the time of day.
	madeUp := !want.Sticky || time.Since(time.Unix(int64(want.UIDValidity), 0)) < time.Hour && res.mailbox.UIDValidity() == 0
	if !madeUp && (uint64(res.mailbox.UIDValidity()) != want.UIDValidity || uint64(res.mailbox.LastUID()) != want.LastUID) {
		t.Errorf("UIDVALIDITY %d, last UID %d, c-client has %d, %d", res.mailbox.UIDValidity(), res.mailbox.LastUID(), want.UIDValidity, want.LastUID)
	}
	keywords := res.mailbox.Keywords()
	for bit := range 64 {
		name := ""
		if bit < len(keywords) {
			name = keywords[bit]
		}
		if name != want.Keywords[bit] {
			t.Errorf("keyword %d is %q, c-client has %q", bit, name, want.Keywords[bit])
		}
	}
	for i, w := range want.Messages {
		m := &res.messages[i]
		if uint64(m.UID) != w.UID {
			t.Errorf("message %d: UID %d, c-client has %d", i+1, m.UID, w.UID)
		}
		flags := strings.Join(append([]string{w.Flags}, w.Keywords...), " ")
		if got := letters(m, keywords); !sameLetters(got, flags) {
			t.Errorf("message %d: flags %q, c-client has %q", i+1, got, flags)
		}
		if !w.Date.IsZero() && !m.Date.Equal(w.Date) {
			t.Errorf("message %d: date %v (%v), c-client has %v", i+1, m.Date, m.DateSource, w.Date)
		}
		text := w.Text
		if normalise != nil {
			text = normalise(text)
		}
		if res.texts[i] != text {
			t.Errorf("message %d: %q, c-client has %q", i+1, res.texts[i], w.Text)
		}
	}
}

// TestCClient: the reader of unix format was held to UW before there was this way of
// asking; so it is the way of asking that this tests.
func TestCClient(t *testing.T) {
	c := cclient.New(t)
	opts := Options{Location: newYork(t), ModTime: fileTime}
	for _, prefix := range []string{"3 ", "4 ", "71 "} {
		f := fixtures[slices.IndexFunc(fixtures, func(f fixture) bool { return strings.HasPrefix(f.name, prefix) })]
		// UW reads dates without a zone rightly for one half of the year only.
		file := strings.ReplaceAll(f.file, " 2003\n", " 2003 -0400\n")
		c.Write(t, "unix", []byte(file))
		got, said := c.Read(t, "unix")
		if got[0].Driver != "unix" {
			t.Fatalf("%s: driver %q; %s", f.name, got[0].Driver, said)
		}
		res, err := collect(opts, always, func(o Options) (Mailbox, error) {
			return NewReader(strings.NewReader(file), int64(len(file)), o), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		checkUW(t, got[0], &res, nil)
	}
	// What it makes it can read, with the flags, the keyword and the date given.
	const text = "Subject: x\r\n\r\nbo\x80y\r\n"
	c.Do(t, "", "create", "#driver.mbx/made")
	c.Do(t, text, "append", "made", `\Seen`, " 2-Jun-2003 10:11:12 -0400")
	c.Do(t, "", "flag", "made", "1", `\Flagged Work`)
	got, said := c.Read(t, "made", "none")
	want := []cclient.Message{{UID: 1, Flags: "RF", Keywords: []string{"Work"}, Text: text, Date: time.Date(2003, 6, 2, 14, 11, 12, 0, time.UTC)}}
	if diff := cmp.Diff(want, got[0].Messages); diff != "" || got[0].Driver != "mbx" || got[0].Keywords[0] != "Work" {
		t.Errorf("made a mailbox of format %q with keywords %v; %s: %s", got[0].Driver, got[0].Keywords, said, diff)
	}
	if !got[1].Refused || said == "" {
		t.Errorf("a mailbox that is not there: %+v, %q", got[1], said)
	}
}

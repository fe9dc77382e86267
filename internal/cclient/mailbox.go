package cclient

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Mailbox is a mailbox as c-client shows it.
type Mailbox struct {
	Refused              bool // it does not open it, for any reason
	Driver               string
	UIDValidity, LastUID uint64
	Sticky               bool           // UIDs are kept
	Keywords             map[int]string // by bit
	Messages             []Message
}

// Message is one message of it.
type Message struct {
	UID      uint64
	Flags    string    // letters: r(ecent), R for \Seen, A, F, D, T for \Draft
	Keywords []string  // in the order of their bits
	Date     time.Time // with the zone that UW shows; zero of a date that is none
	Text     string    // as imapd sends it
}

// Read opens mailboxes read-only and returns what c-client shows of each, and what it
// said about all of them.
func (c *CClient) Read(t testing.TB, names ...string) (mailboxes []Mailbox, said string) {
	t.Helper()
	cmd := c.Command(t, append([]string{"read"}, names...)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	runErr := cmd.Run()
	in := bufio.NewReader(&out)
	for len(mailboxes) < len(names) {
		m, err := readMailbox(in)
		if err != nil {
			t.Fatalf("c-client and %q: %v, %v\n%s", names[len(mailboxes)], err, runErr, log.String())
		}
		mailboxes = append(mailboxes, m)
	}
	if runErr != nil {
		t.Fatalf("c-client: %v\n%s", runErr, log.String())
	}
	return mailboxes, log.String()
}

// readMailbox reads what the program writes of one mailbox.
func readMailbox(in *bufio.Reader) (m Mailbox, err error) {
	m.Keywords = map[int]string{}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return m, err
		}
		line = strings.TrimSuffix(line, "\n")
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "refused":
			m.Refused = true
		case "mailbox":
			var n, sticky int
			_, err = fmt.Sscan(rest, &m.Driver, &n, &m.UIDValidity, &m.LastUID, &sticky)
			m.Sticky = sticky != 0
		case "keyword":
			var bit int
			var name []byte
			if _, err = fmt.Sscanf(rest, "%d %x", &bit, &name); err == nil {
				m.Keywords[bit] = string(name)
			}
		case "message":
			err = m.readMessage(in, rest)
		case "end":
			return m, nil
		default:
			err = errors.New("unknown line")
		}
		if err != nil {
			return m, fmt.Errorf("%q: %w", line, err)
		}
	}
}

func (m *Mailbox) readMessage(in *bufio.Reader, line string) (err error) {
	fields := strings.SplitN(line, " ", 5)
	if len(fields) != 5 {
		return errors.New("not five fields")
	}
	w := Message{Flags: strings.Trim(fields[1], "-")}
	var keywords, size uint64
	for _, f := range []struct {
		text string
		base int
		to   *uint64
	}{{fields[0], 10, &w.UID}, {fields[2], 16, &keywords}, {fields[3], 10, &size}} {
		if *f.to, err = strconv.ParseUint(f.text, f.base, 64); err != nil {
			return err
		}
	}
	for bit := range 64 {
		if name := m.Keywords[bit]; name != "" && keywords&(1<<bit) != 0 {
			w.Keywords = append(w.Keywords, name)
		}
	}
	// UW shows the 30th of February too.
	if w.Date, err = time.Parse("_2-Jan-2006 15:04:05 -0700", fields[4]); err != nil && !strings.Contains(err.Error(), "out of range") {
		return err
	}
	text := make([]byte, size+1)
	if _, err := io.ReadFull(in, text); err != nil {
		return err
	}
	w.Text = string(text[:size])
	m.Messages = append(m.Messages, w)
	return nil
}

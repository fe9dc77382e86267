package cyrustest

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// A PopView is one message as a POP3 client (RFC 1939) sees it.
type PopView struct {
	Number int
	UIDL   string
	Size   int64             // as LIST says
	SHA256 [sha256.Size]byte // of the bytes that RETR gives, without dot-stuffing
	Octets int64             // how many these are
}

// ReadPOP3 logs in and reads all messages of a user's INBOX, deleting none.
func ReadPOP3(addr, user, password string) ([]PopView, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("pop3: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		return nil, fmt.Errorf("pop3: %w", err)
	}
	p := &pop3{conn: conn, r: bufio.NewReader(conn)}
	views, err := p.readAll(user, password)
	if err != nil {
		return nil, fmt.Errorf("pop3: %s: %w", user, err)
	}
	return views, nil
}

type pop3 struct {
	conn net.Conn
	r    *bufio.Reader
}

func (p *pop3) readAll(user, password string) ([]PopView, error) {
	if err := p.status(); err != nil {
		return nil, err
	}
	for _, cmd := range []string{"USER " + user, "PASS " + password} {
		if err := p.do(cmd); err != nil {
			return nil, err
		}
	}
	uidls, err := p.numbered("UIDL")
	if err != nil {
		return nil, err
	}
	sizes, err := p.numbered("LIST")
	if err != nil {
		return nil, err
	}
	if len(uidls) != len(sizes) {
		return nil, fmt.Errorf("%d unique ids for %d messages", len(uidls), len(sizes))
	}
	var views []PopView
	for i := range uidls {
		v := PopView{Number: i + 1, UIDL: uidls[i]}
		if v.Size, err = strconv.ParseInt(sizes[i], 10, 64); err != nil {
			return nil, fmt.Errorf("size of message %d: %w", v.Number, err)
		}
		body, err := p.multiline(fmt.Sprintf("RETR %d", v.Number))
		if err != nil {
			return nil, err
		}
		v.SHA256, v.Octets = sha256.Sum256(body), int64(len(body))
		views = append(views, v)
	}
	return views, p.do("QUIT")
}

// do sends a command and reads the line "+OK".
func (p *pop3) do(cmd string) error {
	if _, err := fmt.Fprintf(p.conn, "%s\r\n", cmd); err != nil {
		return err
	}
	if err := p.status(); err != nil {
		verb, _, _ := strings.Cut(cmd, " ")
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

func (p *pop3) status() error {
	line, err := p.r.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "+OK") {
		return errors.New(strings.TrimSpace(line))
	}
	return nil
}

// numbered reads an answer of lines "1 value", "2 value", … .
func (p *pop3) numbered(cmd string) ([]string, error) {
	text, err := p.multiline(cmd)
	if err != nil {
		return nil, err
	}
	var values []string
	for line := range strings.Lines(string(text)) {
		n, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if !ok || n != strconv.Itoa(len(values)+1) {
			return nil, fmt.Errorf("%s: line %q where message %d belongs", cmd, line, len(values)+1)
		}
		values = append(values, value)
	}
	return values, nil
}

// multiline reads an answer up to the line with a dot. Line ends are kept as
// they came, for which net/textproto cannot be used.
func (p *pop3) multiline(cmd string) ([]byte, error) {
	if err := p.do(cmd); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for {
		line, err := p.r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		if string(line) == ".\r\n" {
			return b.Bytes(), nil
		}
		b.Write(bytes.TrimPrefix(line, []byte(".")))
	}
}

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
	"mbox2cyrus/mbox"
)

// mailutilIMAP copies folder by folder into a running Cyrus.
func (c *contest) mailutilIMAP() error {
	if err := c.createInboxes(); err != nil {
		return err
	}
	return c.eachUser(func(u samplehost.User) error {
		for _, f := range u.Folders {
			how := "copy"
			if f.Inbox {
				how = "append" // it is there
			}
			from, err := c.below(filepath.Join(c.copy, f.Path))
			if err != nil {
				return err
			}
			cmd := c.as("mailutil", how, "-kw", from, fmt.Sprintf("{%s/imap/notls/user=%s}%s", c.srv.IMAPAddr(), u.Name, f.Name))
			// Without a terminal getpass(3) reads the password from standard input.
			cmd.SysProcAttr.Setsid = true
			cmd.Stdin = strings.NewReader(password + "\n")
			if err := do(cmd); err != nil {
				return err
			}
		}
		return nil
	})
}

// createInboxes gives every user an INBOX, as an administrator does.
func (c *contest) createInboxes() error {
	s, err := dial(c.srv.IMAPAddr(), "cyrus")
	if err != nil {
		return err
	}
	for _, name := range c.userNames() {
		s.command("CREATE user/%s\r\n", name)
	}
	return s.close()
}

// upload is as fast as uploading can be made: the largest users first, each on a connection
// of its own, no command waits for the answer to the one before, and one command has as
// many messages as the server can be trusted with.
func (c *contest) upload() error {
	if err := c.createInboxes(); err != nil {
		return err
	}
	size := func(u samplehost.User) (n int64) {
		for _, f := range u.Folders {
			n += f.Bytes
		}
		return n
	}
	users := slices.Clone(c.host.users)
	slices.SortFunc(users, func(a, b samplehost.User) int { return cmp.Compare(size(b), size(a)) })
	var g errgroup.Group
	g.SetLimit(c.connections)
	for _, u := range users {
		g.Go(func() error {
			s, err := dial(c.srv.IMAPAddr(), u.Name)
			if err != nil {
				return err
			}
			for _, f := range u.Folders {
				if !f.Inbox {
					s.command("CREATE %q\r\n", f.Name)
				}
				if slices.Contains(u.Subscribed, f.Name) {
					s.command("SUBSCRIBE %q\r\n", f.Name)
				}
				if err := s.appendFolder(f.Name, filepath.Join(c.host.root, f.Path)); err != nil {
					return errors.Join(err, s.close())
				}
			}
			return s.close()
		})
	}
	return g.Wait()
}

// A session is an IMAP connection on which commands are sent without waiting. An error of
// writing stays in w until close.
type session struct {
	conn  net.Conn
	w     *bufio.Writer
	tags  int
	multi bool // MULTIAPPEND (RFC 3502)
	ended chan answers
}

// answers are what a server said until it closed the connection.
type answers struct {
	ok  int   // tagged answers that are OK
	err error // the first that is not, or what ended the connection
}

// dial logs in. It wants LITERAL+ (RFC 7888), without which every message waits.
func dial(addr, user string) (*session, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, w: bufio.NewWriterSize(conn, 256<<10), ended: make(chan answers, 1)}
	r := bufio.NewReader(conn)
	s.command("LOGIN %s %s\r\n", user, password)
	s.command("CAPABILITY\r\n")
	err = s.w.Flush()
	answered, literals := 0, false
	for answered < s.tags && err == nil {
		var line string
		line, err = r.ReadString('\n')
		fields := strings.Fields(line)
		switch {
		case err != nil:
		case strings.HasPrefix(line, "* CAPABILITY "):
			s.multi, literals = slices.Contains(fields, "MULTIAPPEND"), slices.Contains(fields, "LITERAL+")
		case strings.HasPrefix(line, "* "):
		case len(fields) < 2 || fields[1] != "OK":
			err = fmt.Errorf("login of %s: %q", user, line)
		default:
			answered++
		}
	}
	if err == nil && !literals {
		err = errors.New("the server has no LITERAL+: uploading waits for it with every message, and is not measured")
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	go s.listen(r, s.tags)
	return s, nil
}

// listen counts the answers, so that the server can always go on.
func (s *session) listen(r *bufio.Reader, before int) {
	a := answers{ok: before}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			if a.err == nil && err != io.EOF {
				a.err = err
			}
			s.ended <- a
			return
		}
		if strings.HasPrefix(line, "*") {
			continue
		}
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == "OK" {
			a.ok++
		} else if a.err == nil {
			a.err = fmt.Errorf("imap: %q", line)
		}
	}
}

func (s *session) command(format string, args ...any) {
	s.tags++
	fmt.Fprintf(s.w, "a%d "+format, append([]any{s.tags}, args...)...)
}

// close logs out, waits for all answers and returns the first error.
func (s *session) close() error {
	s.command("LOGOUT\r\n")
	err := s.w.Flush()
	a := <-s.ended
	if err == nil && a.err == nil && a.ok != s.tags {
		err = fmt.Errorf("imap: %d of %d commands were answered", a.ok, s.tags)
	}
	return errors.Join(a.err, err, s.conn.Close())
}

// What one APPEND has at most: it is one transaction of the server.
const (
	appendMessages = 1000
	appendBytes    = 32 << 20
)

// appendFolder appends all messages of a UW folder, with flags and dates.
func (s *session) appendFolder(name, path string) error {
	var messages, size int
	var text bytes.Buffer
	end := func() {
		if messages > 0 {
			s.w.WriteString("\r\n")
		}
		messages, size = 0, 0
	}
	_, err := eachMessage(path, func(m *mbox.Message, keywords []string) error {
		text.Reset()
		if _, err := m.WriteTo(&text); err != nil {
			return err
		}
		if messages == appendMessages || size > appendBytes || !s.multi {
			end()
		}
		if messages == 0 {
			s.command("APPEND %q", name)
		}
		fmt.Fprintf(s.w, " (%s) \"%s\" {%d+}\r\n", strings.Join(flagsOf(m, keywords), " "), m.Date.Format("_2-Jan-2006 15:04:05 -0700"), text.Len())
		messages++
		size += text.Len()
		_, err := s.w.Write(text.Bytes())
		return err
	})
	end()
	return err
}

package cyrustest

import (
	"crypto/sha256"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// A message with what readers get wrong: a line that begins with a dot, 8-bit
// bytes (in the body: APPEND replaces them in a header), no line end after the
// last line.
const hello = "From: ann@example.org\r\nSubject: hello\r\n\r\ngr\xfc\xdfe\r\n.hidden\r\n..\r\nlast line"

func TestServer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		opts   Options
		folder string // as an IMAP client names it
		below  string // of the spool, when it can be foretold
	}{
		{"uuid", Options{}, "Entwürfe/alt", ""},
		{"by name", Options{LegacyDirs: true, HashIMAPSpool: true, NoAltNamespace: true}, "INBOX/work", "j/user/joe/work"},
		{"dots", Options{DotSeparator: true, LegacyDirs: true, NoAltNamespace: true}, "INBOX.work", "user/joe/work"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := ForTest(t, tt.opts)
			if err := s.AddUser("joe", "secret"); err != nil {
				t.Fatal(err)
			}
			if err := s.AddUser("cyrus", "admin"); err != nil {
				t.Fatal(err)
			}
			sep := "/"
			if tt.opts.DotSeparator {
				sep = "."
			}
			if _, err := s.Run(t.Context(), "reconstruct", "-x", "-p", "default", "user"+sep+"joe"); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			date := time.Date(2003, 7, 1, 12, 30, 15, 0, time.FixedZone("", 7200))
			store(t, s, tt.folder, date)

			views, err := ReadAll(s.IMAPAddr(), "joe", "secret")
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(views, func(v MailboxView) bool { return v.Name == tt.folder })
			if i < 0 {
				t.Fatalf("no %s among %+v", tt.folder, views)
			}
			v := views[i]
			if !v.Selectable || !v.Subscribed || v.UIDNext != 2 || v.UIDValidity == 0 || len(v.Messages) != 1 {
				t.Errorf("mailbox: %+v", v)
			}
			m := v.Messages[0]
			if m.UID != 1 || !slices.Equal(m.Flags, []string{"Work", `\Flagged`, `\Seen`}) ||
				!m.InternalDate.Equal(date) || m.Size != int64(len(hello)) || m.Octets != m.Size ||
				m.SHA256 != sha256.Sum256([]byte(hello)) {
				t.Errorf("message: %+v", m)
			}
			body, err := ReadMessage(s.IMAPAddr(), "joe", "secret", tt.folder, 1)
			if err != nil || string(body) != hello {
				t.Errorf("ReadMessage: %q, %v", body, err)
			}
			if tt.below != "" {
				if _, err := os.Stat(s.Spool + "/" + tt.below + "/1."); err != nil {
					t.Error(err)
				}
			}

			pop, err := ReadPOP3(s.POP3Addr(), "joe", "secret")
			if err != nil {
				t.Fatal(err)
			}
			// pop3d ends the last line, which the protocol cannot do without.
			ended := hello + "\r\n"
			if len(pop) != 1 || pop[0].UIDL == "" || pop[0].SHA256 != sha256.Sum256([]byte(ended)) {
				t.Errorf("pop3: %+v", pop)
			}

			pid := s.PID()
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(-pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("processes are left: %v", err)
			}
			if _, err := ReadAll(s.IMAPAddr(), "joe", "secret"); err == nil {
				t.Error("a stopped server answers")
			}
		})
	}
}

// store puts hello into INBOX and into a new folder, and subscribes to it.
func store(t *testing.T, s *Server, folder string, date time.Time) {
	t.Helper()
	c, err := Login(s.IMAPAddr(), "joe", "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Create(folder, nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := c.Subscribe(folder).Wait(); err != nil {
		t.Fatal(err)
	}
	for _, box := range []string{"INBOX", folder} {
		cmd := c.Append(box, int64(len(hello)), &imap.AppendOptions{
			Flags: []imap.Flag{imap.FlagSeen, imap.FlagFlagged, "Work"},
			Time:  date,
		})
		if _, err := cmd.Write([]byte(hello)); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Logout().Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestWrongPassword(t *testing.T) {
	s := ForTest(t, Options{})
	if err := s.AddUser("joe", "secret"); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAll(s.IMAPAddr(), "joe", "guess"); err == nil {
		t.Error("IMAP took a wrong password")
	}
	if _, err := ReadPOP3(s.POP3Addr(), "joe", "guess"); err == nil {
		t.Error("POP3 took a wrong password")
	}
	if err := s.Start(t.Context()); err == nil {
		t.Error("a running server was started again")
	}
}

func TestClosedDirectory(t *testing.T) {
	if err := Available(); err != nil {
		t.Skip(err)
	}
	_, err := New(t.TempDir()+"/cyrus", Options{})
	if err == nil || !strings.Contains(err.Error(), "closed to others") {
		t.Errorf("New in a directory of mode 0700: %v", err)
	}
}

func TestBadConfiguration(t *testing.T) {
	if err := Available(); err != nil {
		t.Skip(err)
	}
	s, err := New("", Options{Extra: []string{"defaultpartition: nowhere"}})
	if err == nil {
		t.Error("a configuration with two lines defaultpartition was taken")
		err = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "defaultpartition") {
		t.Errorf("%v", err)
	}
}

package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/mbox"
)

// readHolding reads a mailbox and returns what was set aside, as text.
func readHolding(t *testing.T, path string, rules Rules) (res Result, aside []string, err error) {
	t.Helper()
	folder, err := mbox.OpenFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &Source{Rules: rules}
	res, err = s.read(context.Background(), folder, func(m *mbox.Message, _ []string) error {
		n, err := m.WriteTo(io.Discard)
		return errors.Join(err, rules.CheckSize(n))
	}, func(a Aside) error {
		what := fmt.Sprintf("%s %s %d", a.Kind, a.File, a.Offset)
		if a.Open == nil {
			aside = append(aside, what+" refused")
			return nil
		}
		r, err := a.Open()
		if err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		if int64(len(b)) != a.Length {
			t.Errorf("%s: %d bytes, want %d", what, len(b), a.Length)
		}
		aside = append(aside, fmt.Sprintf("%s %q", what, b))
		return errors.Join(err, r.Close())
	}, func(_, _ int64) {})
	return res, aside, errors.Join(err, folder.Close())
}

// TestLargeMessageIsHeld: its range is set aside, the account still closes, and what
// belongs to no text stays where it was.
func TestLargeMessageIsHeld(t *testing.T) {
	large := fromLine + "Subject: large\nStatus: RO\n\n" + strings.Repeat("text\n", 20) + "\n"
	small := fromLine + "Subject: s\n\nx\n\n"
	path := filepath.Join(t.TempDir(), "folder")
	if err := os.WriteFile(path, []byte(small+large+small+large), 0o600); err != nil {
		t.Fatal(err)
	}
	res, aside, err := readHolding(t, path, Rules{HoldAbove: 100})
	if err != nil {
		t.Fatal(err)
	}
	if len(aside) != 2 || aside[0] != fmt.Sprintf("  %d %q", len(small), large) {
		t.Errorf("set aside: %q", aside)
	}
	text := int64(len("Subject: large\n\n") + 100)
	if res.Bytes["held"] != 2*text || res.Bytes["message"] != 2*int64(len("Subject: s\n\nx\n")) || res.Bytes["from-line"] != 4*int64(len(fromLine)) {
		t.Errorf("bytes: %v", res.Bytes)
	}
	// A message of just that size is not held.
	exact := int64(len("Subject: large\r\n\r\n") + 20*len("text\r\n"))
	if _, aside, err := readHolding(t, path, Rules{HoldAbove: exact}); err != nil || len(aside) > 0 {
		t.Errorf("set aside: %q, %v", aside, err)
	}
	if _, aside, err := readHolding(t, path, Rules{HoldAbove: exact - 1}); err != nil || len(aside) != 2 {
		t.Errorf("set aside: %q, %v", aside, err)
	}
}

// TestDamageIsHeld: bytes that make no message are set aside with their file, and are no
// problem of the reader any more; a file that must not be opened is not.
func TestDamageIsHeld(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mx")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{".mxindex": "V3edb6d20L00000002junk", "1": "Subject: a\n\na\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "2")); err != nil {
		t.Fatal(err)
	}
	res, aside, err := readHolding(t, dir, Rules{})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(aside, "\n"); got != "damage .mxindex 18 \"junk\"\ndamage 2 0 refused" {
		t.Errorf("set aside: %s", got)
	}
	for _, p := range res.Problems {
		if p.Kind == "damage" {
			t.Errorf("%+v", p)
		}
	}
	if res.Doubts["damage"] != 2 {
		t.Errorf("doubts: %v", res.Doubts)
	}
}

// TestHoldFails: what cannot be held ends the reading.
func TestHoldFails(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{".mxindex": "junk", "1": "Subject: a\n\na\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	folder, err := mbox.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space")
	_, err = (&Source{}).read(context.Background(), folder, nil, func(Aside) error { return full }, func(_, _ int64) {})
	if !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	if err := folder.Close(); err != nil {
		t.Fatal(err)
	}
}

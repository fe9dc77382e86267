package held

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/mail"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	gombox "github.com/emersion/go-mbox"
)

var folder = Folder{UniqueID: "id", User: "joe", Name: "caf\xe9", Source: "home/joe/mail/caf\xe9"}

// hold holds texts and returns the items and the mbox file.
func hold(t *testing.T, dir string, texts ...string) (items []Item, mbox string) {
	t.Helper()
	w := NewWriter(dir, folder)
	var offset int64
	for _, text := range texts {
		// What follows the range must not come along.
		it := Item{Offset: offset, Length: int64(len(text)), Reason: "damage", Text: "no record"}
		if err := w.Hold(it, strings.NewReader(text+"more")); err != nil {
			t.Fatal(err)
		}
		offset += it.Length
	}
	if n, bytes := w.Count(); n != int64(len(texts)) || bytes != offset {
		t.Errorf("%d items of %d bytes", n, bytes)
	}
	if err := errors.Join(w.Commit(), w.Close()); err != nil {
		t.Fatal(err)
	}
	err := Each(dir, folder.UniqueID, func(it Item) error { items = append(items, it); return nil })
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(mboxPath(dir, folder.UniqueID))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "more") {
		t.Error("what follows came along")
	}
	return items, string(b)
}

// recover reads an mbox file as a person would who wants the bytes back: by its own
// From_ lines, the fields, and their encoding.
func recoverTexts(t *testing.T, mbox string) (texts []string) {
	t.Helper()
	for _, part := range strings.Split("\n"+mbox, "\nFrom mbox2cyrus Thu Jan  1 00:00:00 1970\n")[1:] {
		m, err := mail.ReadMessage(strings.NewReader(part))
		if err != nil {
			t.Fatalf("%v in %q", err, part)
		}
		body, err := io.ReadAll(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get("Content-Transfer-Encoding") == "base64" {
			if body, err = io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(bytes.TrimSpace(body)))); err != nil {
				t.Fatal(err)
			}
		} else {
			body = []byte(strings.ReplaceAll("\n"+string(body), "\n>From ", "\nFrom ")[1:])
		}
		n, err := strconv.Atoi(m.Header.Get("X-Held-Length"))
		if err != nil || n > len(body) {
			t.Fatalf("length %d of %d, %v", n, len(body), err)
		}
		texts = append(texts, string(body[:n]))
	}
	return texts
}

// TestBytesComeBack holds all sorts of bytes, and gets every one of them back.
func TestBytesComeBack(t *testing.T) {
	texts := []string{
		"plain\n", "no line end", "From here\nFrom there\n", "a\n>From quoted\n", ">>From twice\n", "a\r\nb\r\n", "a\rb", "\x00\x00",
		"caf\xe9\n", strings.Repeat("x", 999) + "\n", strings.Repeat("x", 998) + "\n", "\n\n\n", "> From\n>Frog\n", "tab\there\n", "\x7f", "x",
		"From mbox2cyrus Thu Jan  1 00:00:00 1970\n", strings.Repeat("From \n", 50_000), "text\n\n",
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var b strings.Builder
		for range 1 + rnd.IntN(8) {
			b.WriteString([]string{"From ", ">", "\n", "\r\n", "\x00", "F", "\xff", "text", " ", "\n>From "}[rnd.IntN(10)])
		}
		texts = append(texts, b.String())
	}
	dir := filepath.Join(t.TempDir(), "held")
	items, mbox := hold(t, dir, texts...)
	back := recoverTexts(t, mbox)
	if len(back) != len(texts) || len(items) != len(texts) {
		t.Fatalf("%d texts and %d items of %d", len(back), len(items), len(texts))
	}
	seen := map[string]bool{}
	for i, text := range texts {
		if back[i] != text {
			t.Errorf("text %d came back as %q, was %q", i, back[i], text)
		}
		sum := sha1.Sum([]byte(text))
		it := items[i]
		if it.SHA1 != hex.EncodeToString(sum[:]) || it.Length != int64(len(text)) || string(it.Folder) != folder.Name || seen[it.ID] {
			t.Errorf("item %d: %+v", i, it)
		}
		seen[it.ID] = true
	}
	// Plain text stays readable.
	for _, want := range []string{"\n\nplain\n", "\n\n>From here\n>From there\n", "\n\ncaf\xe9\n", strings.Repeat("x", 998)} {
		if !strings.Contains(mbox, want) {
			t.Errorf("%q is not in the mbox file as it is", want)
		}
	}
	// An independent reader finds the same messages.
	n := 0
	for r := gombox.NewReader(bufio.NewReader(strings.NewReader(mbox))); ; n++ {
		if _, err := r.NextMessage(); err != nil {
			break
		}
	}
	if n != len(texts) {
		t.Errorf("go-mbox finds %d messages of %d", n, len(texts))
	}
	for _, path := range []string{listPath(dir, "id"), mboxPath(dir, "id")} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
}

// TestSameAgain: the same bytes make the same files and ids, others do not.
func TestSameAgain(t *testing.T) {
	a, amail := hold(t, t.TempDir(), "one\n", "two\n")
	b, bmail := hold(t, t.TempDir(), "one\n", "two\n")
	if amail != bmail || a[0] != b[0] || a[1] != b[1] {
		t.Errorf("%+v, then %+v", a, b)
	}
	c, _ := hold(t, t.TempDir(), "one\n", "tow\n")
	if c[0].ID != a[0].ID || c[1].ID == a[1].ID {
		t.Errorf("%+v, then %+v", a, c)
	}
	it := Item{Length: 3, Reason: "damage", Text: "a link"}
	other := it
	other.Text = "a device"
	for _, it := range []*Item{&it, &other} {
		if err := it.identify(); err != nil {
			t.Fatal(err)
		}
	}
	if it.ID == other.ID {
		t.Error("another reason not to open a file has the same id")
	}
	// Where there are bytes, they tell: an approval outlasts another wording.
	it, other = a[0], a[0]
	other.Text = "no record at all"
	if err := errors.Join(it.identify(), other.identify()); err != nil || it.ID != a[0].ID || other.ID != a[0].ID {
		t.Errorf("ids %s and %s, were %s, %v", it.ID, other.ID, a[0].ID, err)
	}
}

// TestCommit: nothing is changed before it, and a pass without items removes the old ones.
func TestCommit(t *testing.T) {
	dir := t.TempDir()
	before, mbox := hold(t, dir, "one\n")
	w := NewWriter(dir, folder)
	if err := w.Hold(Item{Length: 1, Reason: "damage"}, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	same := func() {
		t.Helper()
		var now []Item
		err := Each(dir, "id", func(it Item) error { now = append(now, it); return nil })
		b, rerr := os.ReadFile(mboxPath(dir, "id"))
		if err := errors.Join(err, rerr); err != nil || len(now) != 1 || now[0] != before[0] || string(b) != mbox {
			t.Errorf("%+v, %q, %v", now, b, err)
		}
	}
	same()
	// Bytes that are not all there are not held.
	w = NewWriter(dir, folder)
	if err := w.Hold(Item{Length: 5}, strings.NewReader("four")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	same()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
	w = NewWriter(dir, folder)
	if err := errors.Join(w.Commit(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := Each(dir, "id", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// TestRefusedFile: a file that must not be opened is listed and has no message.
func TestRefusedFile(t *testing.T) {
	dir := t.TempDir()
	w := NewWriter(dir, folder)
	if err := w.Hold(Item{File: "7", Length: 9, Reason: "damage", Text: "somebody else's"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	err := Each(dir, "id", func(it Item) error {
		if it.SHA1 != "" || it.ID == "" || it.File != "7" {
			t.Errorf("%+v", it)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(mboxPath(dir, "id")); err != nil || len(b) != 0 {
		t.Errorf("%q, %v", b, err)
	}
}

// TestDamagedList: what is no list is an error with its line.
func TestDamagedList(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(listPath(dir, "id"), []byte("{\"id\":\"a\"}\nnothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Each(dir, "id", func(Item) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v", err)
	}
}

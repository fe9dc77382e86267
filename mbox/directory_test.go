package mbox

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/fsrights"
)

// writeDirectory makes a directory of these files, all of one time. A name that ends in /
// is a directory.
func writeDirectory(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.Mkdir(path, 0o755)
		} else if err = os.WriteFile(path, []byte(content), 0o600); err == nil {
			err = os.Chtimes(path, fileTime, fileTime)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// readDirectory reads a mailbox directory to its end and holds it to what every reader of
// one promises.
func readDirectory(t testing.TB, path string, format Format) *collected {
	t.Helper()
	folder, err := OpenFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	}()
	if got := folder.parts[0].format; got != format {
		t.Fatalf("format %q, want %q", got, format)
	}
	id, err := folder.Identity()
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Location: time.UTC}
	res, err := collect(opts, always, folder.Mailbox)
	if err != nil {
		t.Fatal(err)
	}
	checkDirectory(t, &res, id.Size)
	again, err := collect(opts, func(n int) bool { return n%2 == 0 }, folder.Mailbox)
	if err != nil {
		t.Fatal(err)
	}
	checkDirectory(t, &again, id.Size)
	if !slices.Equal(res.findings, again.findings) {
		t.Errorf("findings %v when all is written, %v when some is", res.findings, again.findings)
	}
	return &res
}

func checkDirectory(t testing.TB, res *collected, size int64) {
	t.Helper()
	if account := res.mailbox.Account(); account.Total() != size {
		t.Errorf("%d bytes accounted for, the files have %d: %v", account.Total(), size, account)
	}
	checkDamage(t, res.mailbox.Account(), res.findings)
	if len(res.mailbox.Keywords()) > maxKeywords {
		t.Errorf("%d keywords", len(res.mailbox.Keywords()))
	}
	var last uint32
	for i := range res.messages {
		m := &res.messages[i]
		if m.UID <= last || m.UID > maxUID || m.UID > res.mailbox.LastUID() {
			t.Errorf("message %d: UID %d follows %d; the last is %d", i+1, m.UID, last, res.mailbox.LastUID())
		}
		last = m.UID
		if !representable(m.Date) || m.Date.Nanosecond() != 0 {
			t.Errorf("message %d: date %v", i+1, m.Date)
		}
		if m.Number != i+1 || m.Offset > m.HeaderOffset || m.HeaderOffset > m.BodyOffset || m.EndOffset != 0 && m.BodyOffset > m.EndOffset {
			t.Errorf("message %d: number %d, offsets %d %d %d %d", i+1, m.Number, m.Offset, m.HeaderOffset, m.BodyOffset, m.EndOffset)
		}
		if m.HidesInternal() {
			t.Errorf("message %d: nothing is hidden in this format", i+1)
		}
		rest := strings.ReplaceAll(res.texts[i], "\r\n", "")
		if strings.ContainsAny(rest, "\n\x00") {
			t.Errorf("message %d: a bare LF or NUL in %q", i+1, res.texts[i])
		}
		for bit := range 64 {
			if m.Keywords&(1<<bit) != 0 && (bit >= len(res.mailbox.Keywords()) || res.mailbox.Keywords()[bit] == "") {
				t.Errorf("message %d: keyword bit %d has no name", i+1, bit)
			}
		}
	}
}

// described is a message in one line: UID, flags and keywords, text.
func described(res *collected) (list []string) {
	for i := range res.messages {
		m := &res.messages[i]
		list = append(list, strings.TrimSpace(itoa(m.UID)+" "+letters(m, res.mailbox.Keywords()))+": "+res.texts[i])
	}
	return list
}

func itoa(n uint32) string { return string(appendUint(nil, n)) }

func appendUint(b []byte, n uint32) []byte {
	if n >= 10 {
		b = appendUint(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

// TestStoredTextConversion holds conversion to what it is for every way that a text falls
// into pieces.
func TestStoredTextConversion(t *testing.T) {
	tests := []struct{ in, want string }{
		{"a\nb", "a\r\nb"},
		{"a\r\nb\r\n", "a\r\nb\r\n"},
		{"a\r\r\n\rb\r", "a\r\r\n\rb\r"},
		{"\n\n\r\n", "\r\n\r\n\r\n"},
		{"\x00a\x00\n\x00", "\x80a\x80\r\n\x80"},
		{"a\r\x00\n", "a\r\x80\r\n"},
		{"", "\r\n"},
		{strings.Repeat("x\n", 100), strings.Repeat("x\r\n", 100)},
	}
	for _, test := range tests {
		for window := 2; window < 9; window++ {
			text := storedText{lf: true, find: func(Finding) {}, account: Account{}}
			text.win.buf = make([]byte, window)
			var m Message
			// Enough of a window is there: none is made.
			text.win.src, text.win.end = strings.NewReader(test.in), int64(len(test.in))
			text.msg = &m
			var err error
			if m.BodyOffset, err = text.findBody(0, text.win.end); err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			if _, err := text.writeTo(&b); err != nil || b.String() != test.want {
				t.Errorf("%q with a window of %d: %q, %v; want %q", test.in, window, b.String(), err, test.want)
			}
		}
	}
}

// TestStoredTextWrites: a message of up to 1 MiB goes out with one Write.
func TestStoredTextWrites(t *testing.T) {
	for _, size := range []int{10, 1 << 19, 1 << 20, 3 << 20} {
		dir := writeDirectory(t, map[string]string{mxIndexName: "", "1": "a\r\n\r\n" + strings.Repeat("x", size-5)})
		folder, err := OpenFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		mailbox, err := folder.Mailbox(Options{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := mailbox.Next()
		if err != nil {
			t.Fatal(err)
		}
		var w countWrites
		if n, err := m.WriteTo(&w); err != nil || n != int64(size) || w.bytes != size || m.EndOffset != n || m.BodyOffset != 5 {
			t.Errorf("size %d: wrote %d, %d, %v; offsets %d, %d", size, n, w.bytes, err, m.BodyOffset, m.EndOffset)
		}
		if size <= 1<<20 && w.writes != 1 || w.writes > 4 {
			t.Errorf("size %d: %d writes", size, w.writes)
		}
		if string(m.Header()) != "a\r\n\r\n" {
			t.Errorf("header %q", m.Header())
		}
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	}
}

type countWrites struct{ writes, bytes int }

func (w *countWrites) Write(b []byte) (int, error) {
	w.writes++
	w.bytes += len(b)
	return len(b), nil
}

// TestDirectoryDigest: the digest tells any change in a directory from none, whatever the
// order of its files.
func TestDirectoryDigest(t *testing.T) {
	var a, b, c setDigest
	a.add("x")
	a.add("y")
	b.add("y")
	b.add("x")
	c.add("x")
	c.add("x")
	if a != b || a == c || a.String() != b.String() || a.String() == c.String() || len(a.String()) != 64 {
		t.Errorf("digests %v, %v, %v", a, b, c)
	}
	dir := writeDirectory(t, map[string]string{mxIndexName: "", "1": "a\n", "2": "b\n"})
	identity := func() Identity {
		folder, err := OpenFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer folder.Close()
		id, err := folder.Identity()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	before := identity()
	if !before.Equal(identity()) {
		t.Error("two looks at one directory differ")
	}
	if err := os.Rename(filepath.Join(dir, "1"), filepath.Join(dir, "3")); err != nil {
		t.Fatal(err)
	}
	if before.Equal(identity()) {
		t.Error("a file has another name, and nothing differs")
	}
}

// TestMemberGone: a message that goes while the mailbox is read is an error that tells so.
func TestMemberGone(t *testing.T) {
	for _, test := range []struct {
		format Format
		files  map[string]string
		gone   string
	}{
		{FormatMX, map[string]string{mxIndexName: "", "1": "a\r\n\r\n", "2": "b\r\n\r\n"}, "2"},
		{FormatMH, map[string]string{mhSequencesName: "", "1": "a\n\n", "2": "b\n\n"}, "2"},
		{FormatMix, mixFiles(map[string]string{".mix00000001": mixRecord(1, "a\r\n\r\n"), ".mix00000002": mixRecord(2, "b\r\n\r\n")},
			mixLine(1, 6-1, 1, 0), mixLine(2, 6-1, 2, 0)), ".mix00000002"},
	} {
		dir := writeDirectory(t, test.files)
		folder, err := OpenFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		mailbox, err := folder.Mailbox(Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mailbox.Next(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, test.gone)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err = mailbox.Next(); !errors.Is(err, fs.ErrNotExist) || err == io.EOF {
				t.Errorf("%s: error %v, want one that wraps fs.ErrNotExist", test.format, err)
			}
		}
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestStrangeMembers: links and other people's files in a user's mailbox directory are
// never opened, whatever their names, and none is passed over in silence.
func TestStrangeMembers(t *testing.T) {
	needRoot(t)
	for _, test := range []struct {
		format Format
		files  map[string]string
		damage []string // names that should be mail
	}{
		{FormatMX, map[string]string{mxIndexName: "V00000001L00000009", "1": "a\r\n\r\n"}, []string{"2", "3", "4"}},
		{FormatMH, map[string]string{mhSequencesName: "unseen: 1\n", "1": "a\n\n"}, []string{"2", "3", "4"}},
		{FormatMix, mixFiles(map[string]string{".mix00000001": mixRecord(1, "a\r\n\r\n")}, mixLine(1, 5, 1, 0)),
			[]string{".mix00000002", ".mix00000003", ".mix00000004"}},
	} {
		t.Run(string(test.format), func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			for name, content := range test.files {
				h.file("home/alice/mail/x/"+name, content)
			}
			h.file("home/bob/secret", "secret\r\n\r\n")
			h.own("home/alice", 1)
			h.symlink("../../../bob/secret", "home/alice/mail/x/"+test.damage[0])
			h.file("home/alice/mail/x/"+test.damage[1], "bob's\r\n\r\n")
			h.must(os.Chown(h.path("home/alice/mail/x/"+test.damage[1]), h.uid(2), 100))
			h.must(unix.Mkfifo(h.path("home/alice/mail/x/"+test.damage[2]), 0o600))
			h.symlink("../../../bob/secret", "home/alice/mail/x/link")
			h.file("home/alice/mail/x/notes", "buy milk\n")
			h.file("home/alice/mail/x/old", oneMessage)
			for _, name := range []string{"notes", "old"} {
				h.must(os.Chown(h.path("home/alice/mail/x/"+name), h.uid(1), 100))
			}
			dir, _, err := openUserDir(mustOpen(t, h.path("home/alice/mail")), "x", alice.UID, unix.O_RDONLY)
			h.must(err)
			d := &directory{file: dir, rights: fsrights.Identity{UID: alice.UID, GID: alice.GID}, belowMH: test.format == FormatMH}
			defer dir.Close()
			id, err := d.identity()
			h.must(err)
			res, err := collect(Options{}, always, func(opts Options) (Mailbox, error) {
				for _, f := range directoryFormats {
					if f.matches(d) {
						return f.open(d, opts), nil
					}
				}
				return nil, errors.New("no format")
			})
			h.must(err)
			checkDirectory(t, &res, id.Size)
			checkEqual(t, "texts", res.texts, []string{"a\r\n\r\n"})
			var got []string
			for _, f := range res.findings {
				if f.Kind == KindDamage || f.Kind == KindNotMessage || f.Kind == KindMailBeside {
					got = append(got, f.File+": "+string(f.Kind))
				}
			}
			slices.Sort(got)
			want := []string{"link: mail-beside", "notes: not-message", "old: mail-beside"}
			if test.format == FormatMH {
				want[2] = "old: not-message" // a folder of its own
			}
			for _, name := range test.damage {
				want = append(want, name+": damage")
			}
			slices.Sort(want)
			checkEqual(t, "findings", got, want)
			for _, f := range res.findings {
				if strings.Contains(f.Text, "secret\r") || f.File == "old" && !strings.Contains(f.Text, "unix") {
					t.Errorf("finding %+v", f)
				}
			}
			account := res.mailbox.Account()
			if account[ReasonDamage] != int64(len("bob's\r\n\r\n")) || account[ReasonNotMessage] != int64(len("buy milk\n")+len(oneMessage)) {
				t.Errorf("account %v", account)
			}
		})
	}
}

func mustOpen(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestManyFiles: what a million of files would cost is known from fewer: memory is for
// ordering only, findings of one kind are told a hundred times.
func TestManyFiles(t *testing.T) {
	const n = 1100
	files := map[string]string{mxIndexName: "V00000001L00000009"}
	for i := range uint32(n) {
		files[itoa(i+1)] = "a\n\n" // a bare LF each
		files["junk"+itoa(i)] = "x"
		files["00"+itoa(i+1)] = "b\r\n\r\n"
		files["9999999999"+itoa(i)] = "c\r\n\r\n"
	}
	res := readDirectory(t, writeDirectory(t, files), FormatMX)
	if want := 2*n + maxHugeNumbers; len(res.messages) != want {
		t.Errorf("%d messages, want %d", len(res.messages), want)
	}
	kinds := map[Kind]int{}
	for _, f := range res.findings {
		kinds[f.Kind]++
	}
	for kind, got := range kinds {
		if got > maxOfKind+1 {
			t.Errorf("%d findings of kind %s", got, kind)
		}
	}
	if kinds[KindOddNumber] != maxOfKind+1 || kinds[KindBareLF] != maxOfKind+1 || kinds[KindNotMessage] != maxOfKind+1 {
		t.Errorf("findings %v", kinds)
	}
}

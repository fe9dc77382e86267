package mbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

// sharedDir is where mail folders lie that are not ours to distribute.
func sharedDir(t testing.TB) string {
	dir := os.Getenv("MBOX2CYRUS_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(dir, "corpus", "expected.json")); err != nil {
		t.Skipf("no shared corpus (set MBOX2CYRUS_SHARED): %v", err)
	}
	return dir
}

type corpusMessage struct {
	UID          *uint32
	Flags        []string
	InternalDate string
	Bytes        int64
	SHA256       string
}

type corpusFolder struct {
	Driver      string
	Messages    int
	UIDValidity *uint32
	UIDLast     *uint32
	Keywords    []string
	Msgs        []corpusMessage
}

// flagNames are a message's flags and keywords, sorted, without \Recent.
func flagNames(m *Message, keywords []string) []string {
	names := []string{}
	for i, s := range []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`} {
		if m.Flags&(1<<i) != 0 {
			names = append(names, s)
		}
	}
	for i, s := range keywords {
		if m.Keywords&(1<<i) != 0 {
			names = append(names, s)
		}
	}
	sort.Strings(names)
	return names
}

// TestCorpus holds the reader to what UW's c-client 2007f returns for real folders.
func TestCorpus(t *testing.T) {
	dir := filepath.Join(sharedDir(t), "corpus")
	data, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var folders map[string]corpusFolder
	if err := json.Unmarshal(data, &folders); err != nil {
		t.Fatal(err)
	}
	if len(folders) == 0 {
		t.Fatal("expected.json names no folder")
	}
	for name, want := range folders {
		t.Run(name, func(t *testing.T) {
			file, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, window := range []int{windowSize, 64, 777} {
				checkCorpusFolder(t, file, window, want)
			}
		})
	}
}

func checkCorpusFolder(t *testing.T, file []byte, window int, want corpusFolder) {
	format := Recognise(file[:min(len(file), 4096)], int64(len(file)))
	if (format == FormatUnix) != (want.Driver == "unix") {
		t.Fatalf("format %v, c-client's driver is %s", format, want.Driver)
	}
	if format != FormatUnix {
		return
	}
	r := newReader(bytes.NewReader(file), int64(len(file)), unixDelimiter{}, Options{Location: time.UTC}, window)
	var got []*Message
	var texts [][]byte
	for {
		m, err := r.Next()
		if err != nil {
			if noEOF(err) != nil {
				t.Fatal(err)
			}
			break
		}
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		c := *m
		got, texts = append(got, &c), append(texts, b.Bytes())
	}
	if len(got) != want.Messages {
		t.Fatalf("%d messages, c-client has %d", len(got), want.Messages)
	}
	if !slices.Equal(append([]string{}, r.Keywords()...), want.Keywords) {
		t.Errorf("keywords %q, c-client has %q", r.Keywords(), want.Keywords)
	}
	if want.UIDValidity == nil {
		if r.UIDValidity() != 0 {
			t.Errorf("UIDVALIDITY %d, the file has none", r.UIDValidity())
		}
	} else if r.UIDValidity() != *want.UIDValidity || r.LastUID() != *want.UIDLast {
		t.Errorf("UIDVALIDITY %d, last UID %d, c-client has %d, %d", r.UIDValidity(), r.LastUID(), *want.UIDValidity, *want.UIDLast)
	}
	for i, w := range want.Msgs {
		m, text := got[i], texts[i]
		if w.UID != nil && m.UID != *w.UID {
			t.Errorf("message %d: UID %d, c-client has %d", i+1, m.UID, *w.UID)
		}
		sort.Strings(w.Flags)
		if f := flagNames(m, r.Keywords()); !slices.Equal(f, w.Flags) {
			t.Errorf("message %d: flags %q, c-client has %q", i+1, f, w.Flags)
		}
		checkCorpusDate(t, i+1, m, w.InternalDate)
		// c-client returns NULs and an unterminated last line as they are; imapd sends 0x80
		// and UW's next rewrite ends the line, so that is what we write.
		repaired := bytes.IndexByte(file[m.Offset:m.EndOffset], 0) >= 0 || i == len(want.Msgs)-1 && file[len(file)-1] != '\n'
		same := func(b []byte) bool {
			sum := sha256.Sum256(b)
			return int64(len(b)) == w.Bytes && hex.EncodeToString(sum[:]) == w.SHA256
		}
		ok := same(text)
		if repaired {
			undone := bytes.ReplaceAll(text, []byte{0x80}, []byte{0})
			ok = same(undone) || same(bytes.TrimSuffix(undone, []byte("\r\n"))) || same(bytes.TrimSuffix(text, []byte("\r\n")))
		}
		if !ok {
			t.Errorf("message %d: %d bytes, not those that c-client returns, %d bytes", i+1, len(text), w.Bytes)
		}
	}
}

// checkCorpusDate compares dates. Where c-client cannot parse a From_ line it returns the
// beginning of 1970, and we take another source.
func checkCorpusDate(t *testing.T, number int, m *Message, want string) {
	date, err := time.Parse("_2-Jan-2006 15:04:05 -0700", strings.TrimSpace(want))
	if err != nil {
		t.Fatal(err)
	}
	if date.Unix() == 0 {
		if m.DateSource <= FromLineLocal {
			t.Errorf("message %d: date %v from the From_ line, c-client cannot parse it", number, m.Date)
		}
		return
	}
	if !m.Date.Equal(date) {
		t.Errorf("message %d: date %v (%v), c-client has %s", number, m.Date, m.DateSource, want)
	}
}

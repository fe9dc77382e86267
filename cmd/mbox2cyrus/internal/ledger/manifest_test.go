package ledger

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// messagesOf reads a manifest of that text.
func messagesOf(t *testing.T, text string) (all []Message, err error) {
	t.Helper()
	l := open(t, t.TempDir())
	defer l.Close()
	if err := os.WriteFile(filepath.Join(l.ManifestDir(), "m"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	err = l.EachMessage("m", func(m Message) error {
		all = append(all, m)
		return nil
	})
	return all, err
}

// TestManifestRefused: a manifest of which anything cannot be read is an error, and never one
// of fewer messages, or of others.
func TestManifestRefused(t *testing.T) {
	const line = "7\t100\t250\t140\t0123456789abcdef0123456789abcdef01234567\t1057453600\tRT\t1f\t\"a b\""
	want := Message{UID: 7, Offset: 100, End: 250, Size: 140, Date: 1057453600, Flags: Seen | Draft, Keywords: 0x1f, File: "a b",
		GUID: [20]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67}}
	for _, text := range []string{manifestHeader + "\n" + line + "\n", manifestHeader + "\n" + line} {
		if all, err := messagesOf(t, text); err != nil || len(all) != 1 || all[0] != want {
			t.Fatalf("%+v, %v", all, err)
		}
	}
	want.File = ""
	fields := strings.Split(line, "\t")
	first := manifestHeader1 + "\n" + strings.Join(fields[:8], "\t") + "\n"
	if all, err := messagesOf(t, first); err != nil || len(all) != 1 || all[0] != want {
		t.Errorf("of the first version: %+v, %v", all, err)
	}
	refused := map[string]string{
		"nothing":                            "",
		"no header":                          line + "\n",
		"another header":                     strings.Replace(manifestHeader, "2", "3", 1) + "\n" + line + "\n",
		"a field too few":                    manifestHeader + "\n" + strings.Join(fields[:8], "\t") + "\n",
		"a field too many":                   manifestHeader + "\n" + line + "\t\n",
		"a field too many, of version 1":     manifestHeader1 + "\n" + line + "\n",
		"an empty line":                      manifestHeader + "\n\n" + line + "\n",
		"a line that is longer than any is":  manifestHeader + "\n" + line + "\n" + strings.Repeat("x", 100_000) + "\n",
		"a UID of more than 32 bits":         manifestHeader + "\n" + strings.Replace(line, "7", "4294967303", 1) + "\n",
		"a SHA-1 too short":                  manifestHeader + "\n" + strings.Replace(line, "0123", "01", 1) + "\n",
		"a SHA-1 too long":                   manifestHeader + "\n" + strings.Replace(line, "0123", "012301", 1) + "\n",
		"a SHA-1 that is none":               manifestHeader + "\n" + strings.Replace(line, "0123", "012x", 1) + "\n",
		"keywords of more than 64 bits":      manifestHeader + "\n" + strings.Replace(line, "1f", "10000000000000000", 1) + "\n",
		"a file that is no string":           manifestHeader + "\n" + strings.Replace(line, `b"`, "b", 1) + "\n",
		"the last line is cut off":           manifestHeader + "\n" + line + "\n" + line[:60],
		"the last line is cut off in a file": manifestHeader + "\n" + line[:len(line)-1],
	}
	for i := range fields {
		damaged := append([]string(nil), fields...)
		damaged[i] = "x"
		refused["x for "+fields[i]] = manifestHeader + "\n" + strings.Join(damaged, "\t") + "\n"
	}
	for name, text := range refused {
		if all, err := messagesOf(t, text); err == nil {
			t.Errorf("%s: %+v", name, all)
		}
	}
}

// TestOrderFails: an error of what takes the messages comes back, whenever it takes them.
func TestOrderFails(t *testing.T) {
	for _, c := range []struct {
		uids []uint32
		good int // messages that are taken
	}{{[]uint32{1}, 0}, {[]uint32{1, 2}, 0}, {[]uint32{9, 2}, 0}, {[]uint32{9, 2, 3}, 1}, {[]uint32{9, 2, 3}, 2}, {[]uint32{1, 2, 3}, 2}} {
		n := 0
		o := Order{Emit: func(Message) error {
			if n++; n > c.good {
				return io.ErrShortWrite
			}
			return nil
		}}
		var err error
		for _, uid := range c.uids {
			if err == nil {
				err = o.Add(Message{UID: uid})
			}
		}
		if err == nil {
			err = o.Flush()
		}
		if !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

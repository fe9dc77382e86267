package plan

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	for name, want := range map[string]string{
		"":                 "",
		"sent-mail 2003":   "sent-mail 2003",
		"Entwürfe":         "Entwürfe",
		"caf\xe9":          `caf\xe9`,
		`back\slash`:       `back\\slash`,
		`\x41`:             `\\x41`,
		"nl\nx":            `nl\x0ax`,
		"=HYPERLINK(1)":    `\x3dHYPERLINK(1)`,
		"+1":               `\x2b1`,
		"-1":               `\x2d1`,
		"@sum":             `\x40sum`,
		"\t=1":             `\x09=1`,
		"a=b":              "a=b",
		"\u202egnp.exe":    `\xe2\x80\xaegnp.exe`,
		" lead and trail ": " lead and trail ",
	} {
		got := Escape(name)
		if back, err := unescape(got); got != want || back != name || err != nil {
			t.Errorf("Escape(%q) = %q, want %q; back: %q, %v", name, got, want, back, err)
		}
	}
	for _, wrong := range []string{`\`, `a\`, `\x`, `\x4`, `\xzz`, `\n`, `C:\temp`} {
		if got, err := unescape(wrong); err == nil {
			t.Errorf("unescape(%q) = %q, want an error", wrong, got)
		}
	}
}

func FuzzEscape(f *testing.F) {
	for _, name := range []string{"a", "=1", "\\x41\\", "caf\xe9\xff", "\u202e\n\t", "-", "\ufffd"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		text := Escape(name)
		if back, err := unescape(text); err != nil || back != name {
			t.Errorf("%q became %q and back %q, %v", name, text, back, err)
		}
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("%q became %q, which is not printable", name, text)
		}
		if text != "" && strings.ContainsAny(text[:1], "=+-@") {
			t.Errorf("%q became %q, which is a formula", name, text)
		}
		_, _ = unescape(name) // any text: no panic
	})
}

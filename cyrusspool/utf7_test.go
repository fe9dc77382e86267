package cyrusspool

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestUTF7(t *testing.T) {
	for text, name := range map[string]string{
		"":                   "",
		"plain ~":            "plain ~",
		"a&b":                "a&-b",
		"&&":                 "&-&-",
		"Entwürfe":           "Entw&APw-rfe",
		"~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-", // RFC 3501 5.1.3
		"é&é":                "&AOk-&-&AOk-",
		"😀":                  "&2D3eAA-",
		"éé":                 "&AOkA6Q-",
		"日本語x":               "&ZeVnLIqe-x",
		"\u0085":             "&AIU-",
		"\ufffd":             "&,,0-",
	} {
		if got, err := EncodeUTF7(text); got != name || err != nil {
			t.Errorf("encode %q: %q, %v, want %q", text, got, err, name)
		}
		if got, err := DecodeUTF7(name); got != text || err != nil {
			t.Errorf("decode %q: %q, %v, want %q", name, got, err, text)
		}
	}
	for _, text := range []string{"\xe9", "a\x00", "tab\t", "\x7f", "\xed\xa0\x80"} {
		if got, err := EncodeUTF7(text); err == nil {
			t.Errorf("encode %q: %q, want an error", text, got)
		}
	}
	for _, name := range []string{
		"a&b",           // no end
		"&",             // likewise
		"caf\xc3\xa9",   // 8-bit
		"tab\t",         // control
		"&AGE-",         // shifted ASCII
		"&AAA-",         // shifted NUL
		"&AOk-&AOk-",    // adjacent
		"&AOl-",         // stray bits
		"&AOkA-",        // a character too many
		"&AO-",          // half a unit
		"&A-",           // less than a byte
		"&2D0-",         // half a surrogate pair
		"&2D0AYQ-",      // likewise, ASCII behind it
		"&3gDYPQ-",      // surrogates the wrong way round
		"&AOk=-",        // padding
		"&A/k-",         // base64 of another alphabet
		"&AO\nk-",       // line end, which Go's decoder would skip
		"&AOkA6QDpAGE-", // ASCII in the middle
	} {
		if got, err := DecodeUTF7(name); !errors.Is(err, ErrUTF7) {
			t.Errorf("decode %q: %q, %v, want ErrUTF7", name, got, err)
		}
	}
}

func FuzzUTF7(f *testing.F) {
	for _, s := range []string{"Entw&APw-rfe", "a&-b", "&2D3eAA-", "é&é", "&AOk-&AOk-", "\xe9", "&"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// Whatever decodes is the one form of its text.
		if text, err := DecodeUTF7(s); err == nil {
			if again, err := EncodeUTF7(text); again != s || err != nil {
				t.Errorf("%q decodes to %q, which encodes to %q, %v", s, text, again, err)
			}
		} else if !errors.Is(err, ErrUTF7) {
			t.Errorf("decode %q: %v does not wrap ErrUTF7", s, err)
		}
		// Whatever encodes decodes to itself, and Cyrus takes it.
		name, err := EncodeUTF7(s)
		if err != nil {
			if utf8.ValidString(s) && strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) < 0 {
				t.Errorf("encode %q: %v", s, err)
			}
			return
		}
		if text, err := DecodeUTF7(name); text != s || err != nil {
			t.Errorf("%q encodes to %q, which decodes to %q, %v", s, name, text, err)
		}
		for _, shift := range strings.Split(name, "&")[1:] {
			if code, _, _ := strings.Cut(shift, "-"); code != "" {
				if err := policyShift(code); err != nil {
					t.Errorf("%q encodes to %q: %v", s, name, err)
				}
			}
		}
	})
}

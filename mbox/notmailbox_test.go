package mbox

import (
	"strings"
	"testing"
)

func TestNotMailbox(t *testing.T) {
	tests := []struct {
		name, content string
		size          int64 // if not the length of content
		want          string
		mail          bool
	}{
		{"note", "buy milk\n", 0, "text without From_ lines, no mailbox", false},
		{"long note", "buy milk\n", 1 << 20, "text without From_ lines in its first", false},
		{"binary", "\x7fELF\x01\x00", 0, "binary", false},
		{"NULs", "\x00\x00", 0, "nothing but NUL bytes", false},
		{"NULs to the end of the head", "\x00\x00", 9, "nothing but NUL bytes in its first 2 bytes", true},
		{"NULs before mail", "\x00\x00" + oneMessage, 0, "starts with 2 NUL bytes", true},
		{"blanks before mail", " \t" + oneMessage, 0, "starts with 2 blank bytes", true},
		{"From the desk", "From the desk of Bob\nfoo\n", 0, "no From_ line that UW accepts", false},
		{"four-letter zone", "From bob Mon Jun  2 10:11:12 CEST 2003\n\nfoo\n", 0, "no From_ line that UW accepts", true},
		{"mail after a bad From_ line", "From bob\nSubject: x\n\nfoo\n" + oneMessage, 0, "1 From_ lines further down, the first at byte 25", true},
		{"mail after text", "junk\n" + oneMessage + oneMessage, 0, "holds 2 further down, the first at byte 5", true},
		{"mail after NULs in text", "junk\x00\n" + oneMessage, 0, "holds 1 further down", true},
		{"one message", "Return-Path: <a@b>\nSubject: x\n\nfoo\n", 0, "single message", true},
		{"pointer", "{imap.example.org}INBOX\n", 0, "another server", true},
		{"cut short meanwhile", "", 9, "text", false},
		{"gzip", "\x1f\x8b\x08\x00", 0, "compressed", true},
		{"zip", "PK\x03\x04\x00", 0, "compressed", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			size := max(test.size, int64(len(test.content)))
			if got := Recognise([]byte(test.content), size); got != FormatNone {
				t.Fatalf("recognised as %v", got)
			}
			why, mail := notMailbox([]byte(test.content), size)
			if !strings.Contains(why, test.want) || mail != test.mail {
				t.Errorf("%q, may hold mail %t; want %q, %t", why, mail, test.want, test.mail)
			}
		})
	}
}

func FuzzNotMailbox(f *testing.F) {
	f.Add("junk\n"+oneMessage, int64(0))
	f.Add("\x00"+oneMessage, int64(1<<40))
	f.Add("", int64(5)) // cut short after its size was taken
	f.Fuzz(func(t *testing.T, data string, size int64) {
		size = max(size, int64(len(data)))
		if Recognise([]byte(data), size) != FormatNone {
			return
		}
		why, mail := notMailbox([]byte(data), size)
		if why == "" {
			t.Fatal("no reason")
		}
		if n, _ := countSeparators([]byte(data), size); n > 0 && !mail {
			t.Fatalf("%d From_ lines, but no mail: %s", n, why)
		}
	})
}

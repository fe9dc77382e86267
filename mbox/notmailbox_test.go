package mbox

import (
	"fmt"
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
			why, mail := notMailbox([]byte(test.content), nil, size)
			if !strings.Contains(why, test.want) || mail != test.mail {
				t.Errorf("%q, may hold mail %t; want %q, %t", why, mail, test.want, test.mail)
			}
		})
	}
}

// TestDamagedBeginning: whatever is left of a mailbox is told as mail, and what only
// resembles it is not.
func TestDamagedBeginning(t *testing.T) {
	line := func(n int, flags string) string { return fmt.Sprintf("%s,%d;%s\r\n", recDate, n, flags) }
	mbxRecord := line(len(recText), "000000000001-00000001") + recText
	mbx := mbxFile(h0, "", mbxRecord, mbxRecord)
	long := strings.Replace(oneMessage, "body", strings.Repeat("long body\n", 7000), 1)
	prose := strings.Repeat("Do not take 1,2;3 from 2-Jun-2003 10:11:12 -0400; it says :msg: there. From me Mon.\n", 2000)
	tests := []struct {
		name, content, want string
		mail                bool
	}{
		{"mbx, magic", "x" + mbx[1:], "holds 2 mbx record lines, the first at byte 2048;", true},
		{"mbx, digit", mbx[:9] + "?" + mbx[10:], "holds 2 mbx record lines, the first at byte 2048;", true},
		{"mbx, NULs", strings.Repeat("\x00", 4096) + strings.Repeat(mbxRecord, 3), "holds 3 mbx record lines, the first at byte 4096;", true},
		{"mbx, long first message", "x" + mbx[1:2048] + strings.Repeat("x", 70000) + "\n" + mbxRecord, "holds 1 mbx record line, the first at byte 72049 in its last ", true},
		{"mtx", "?" + strings.Repeat(line(len(recText), "000000000001")+recText, 2), "holds 2 mtx record lines, the first at byte 1;", true},
		{"tenex", "?" + strings.Repeat(recDate+",20;000000000001\n"+recText, 2), "holds 2 tenex record lines, the first at byte 1;", true},
		{"mmdf", "\n" + strings.Repeat(mark+"Subject: a\n\nb\n"+mark, 2), "holds 4 MMDF separator lines, the first at byte 1;", true},
		{"mix data file", mixRecord(2, recText) + mixRecord(3, recText), "holds 2 mix record lines, the first at byte 0;", true},
		{"unix, byte order mark", "\xef\xbb\xbf" + long + oneMessage, "1 From_ line, the first at byte 70", true},
		{"unix, NULs", strings.Repeat("\x00", 4096) + long[4096:] + oneMessage + oneMessage, "holds 2 From_ lines, the first at byte 70", true},
		{"unix, NULs as far as read", strings.Repeat("\x00", 70000) + "\n" + oneMessage, "holds 1 From_ line, the first at byte 70001 in its last", true},
		{"long note", prose, "text without From_ lines in its first 65536 bytes, no mailbox", false},
		{"long binary", "\x7fELF" + strings.Repeat("\x01", 40000) + strings.Repeat("\x00;,\n", 40000), "binary data, no mailbox", false},
		{"ones", "\x7fELF\x00" + strings.Repeat("\x01", 5) + "\n" + strings.Repeat("\x01\n", 50000), "binary data, no mailbox", false},
	}
	h := newHostTree(t)
	alice := h.user("alice", 1)
	for _, test := range tests {
		h.file("home/alice/mail/"+test.name, test.content)
	}
	h.file("home/alice/INBOX", "x"+mbx[1:])
	h.file("home/alice/Mailbox", "what is this")
	h.own("home/alice", 1)
	found := map[string]Skipped{}
	for _, s := range h.folders(alice).Skipped {
		found[strings.TrimPrefix(s.Path, "home/alice/")] = s
	}
	for _, test := range tests {
		if got := found["mail/"+test.name]; got.Kind != SkipNotFolder || !strings.Contains(got.Text, test.want) || got.MayHoldMail != test.mail {
			t.Errorf("%s: %s %q, may hold mail %t; want %q, %t", test.name, got.Kind, got.Text, got.MayHoldMail, test.want, test.mail)
		}
	}
	for _, name := range []string{"INBOX", "Mailbox"} {
		if got := found[name]; got.Kind != SkipInboxElsewhere || !got.MayHoldMail {
			t.Errorf("%s: %s %q, may hold mail %t", name, got.Kind, got.Text, got.MayHoldMail)
		}
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
		why, mail := notMailbox([]byte(data), []byte(data), size)
		if why == "" {
			t.Fatal("no reason")
		}
		if n, _ := countSeparators([]byte(data), size); n > 0 && !mail {
			t.Fatalf("%d From_ lines, but no mail: %s", n, why)
		}
	})
}

package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestExitCodeIsTheWorstThatWasSaid(t *testing.T) {
	for _, tt := range []struct {
		said []Severity
		want int
	}{
		{nil, ExitOK},
		{[]Severity{Note}, ExitOK},
		{[]Severity{Note, Attention}, ExitAttention},
		{[]Severity{Failure, Attention}, ExitFailed},
		{[]Severity{Failure, Difference, Note}, ExitDifference},
	} {
		var out, errs bytes.Buffer
		r := New(Options{Stdout: &out, Stderr: &errs, Command: "migrate"})
		for _, s := range tt.said {
			r.Problem(Problem{Severity: s, Offset: -1, Kind: "k", Text: "t"})
		}
		if code, err := r.Finish(0); code != tt.want || err != nil {
			t.Errorf("%v: exit code %d, %v, want %d", tt.said, code, err, tt.want)
		}
	}
}

// TestRetireCountsBytes: it moves files, and of their messages it knows nothing. A folder that
// goes with "0 messages" would alarm whoever reads that.
func TestRetireCountsBytes(t *testing.T) {
	for _, dry := range []bool{false, true} {
		var out bytes.Buffer
		r := New(Options{Stdout: &out, Stderr: &out, Command: "retire", DryRun: dry})
		r.Folder(Folder{User: "joe", Folder: "INBOX", Bytes: 99, Outcome: "archived as /a/joe"})
		r.User("joe")
		if code, err := r.Finish(0); code != 0 || err != nil {
			t.Errorf("exit code %d, %v", code, err)
		}
		if said := out.String(); !strings.HasPrefix(said, "joe: INBOX: 99 bytes, archived as /a/joe\n1 user, 1 folder: 99 bytes") || strings.Contains(said, "message") {
			t.Errorf("%s", said)
		}
	}
}

func TestJSONLinesAndNothingElseOnStdout(t *testing.T) {
	var out, errs bytes.Buffer
	r := New(Options{Stdout: &out, Stderr: &errs, JSON: true, Command: "migrate"})
	r.Printf("for people")
	r.Problem(Problem{Severity: Attention, User: "joe", Folder: "caf\xe9", Offset: 40112, Kind: "nul-tail", Text: "bytes\x1b[31m"})
	r.Folder(Folder{User: "joe", Folder: "INBOX", Mailbox: "user.joe", Found: 3, Written: 3, Verified: 3, Bytes: 99, UIDValidity: 7, UIDNext: 9})
	r.User("joe")
	if _, err := r.Finish(0); err != nil {
		t.Fatal(err)
	}
	var types []string
	for sc := bufio.NewScanner(&out); sc.Scan(); {
		var m map[string]any
		if err := json.Unmarshal(sc.Bytes(), &m); err != nil {
			t.Fatalf("%q: %v", sc.Text(), err)
		}
		types = append(types, m["message_type"].(string))
		switch m["message_type"] {
		case "problem":
			if m["folder_b64"] != "Y2Fm6Q==" || m["offset"] != 40112.0 || m["kind"] != "nul-tail" {
				t.Errorf("problem: %v", m)
			}
		case "folder":
			if m["messages_verified"] != 3.0 || m["uidnext"] != 9.0 || m["uidvalidity"] != 7.0 {
				t.Errorf("folder: %v", m)
			}
		case "summary":
			if m["users"] != 1.0 || m["messages_written"] != 3.0 || m["exit_code"] != 2.0 || m["dry_run"] != false {
				t.Errorf("summary: %v", m)
			}
		}
	}
	if got := strings.Join(types, " "); got != "problem folder summary" {
		t.Errorf("lines: %s", got)
	}
	if strings.Contains(errs.String(), "\x1b") {
		t.Errorf("an escape from a folder name reached the terminal: %q", errs.String())
	}
}

// TestSummaryForTerminal: no login steers a terminal, as a byte that is a control character
// in the older ones.
func TestSummaryForTerminal(t *testing.T) {
	var out, errs bytes.Buffer
	r := New(Options{Stdout: &out, Stderr: &errs, Command: "migrate"})
	for _, user := range []string{"joe", "kim\x9b2J"} {
		r.Problem(Problem{Severity: Failure, User: user, Offset: -1, Kind: "k", Text: "t"})
	}
	if _, err := r.Finish(0); err != nil {
		t.Fatal(err)
	}
	if said := out.String(); !strings.Contains(said, `users not migrated: joe "kim\x9b2J"`) || strings.Contains(said, "\x9b") {
		t.Errorf("%q", said)
	}
}

func TestReportThatCannotBeWrittenIsAFailure(t *testing.T) {
	r := New(Options{Stdout: failingWriter{}, Stderr: &bytes.Buffer{}, JSON: true, Command: "migrate"})
	r.Folder(Folder{User: "joe"})
	if code, err := r.Finish(0); code != ExitFailed || err == nil {
		t.Errorf("Finish = %d, %v", code, err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"sent-mail": "sent-mail", "": `""`, "a b": `"a b"`, "caf\xe9": `"caf\xe9"`, "nl\nx": `"nl\nx"`, "Entwürfe": "Entwürfe",
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

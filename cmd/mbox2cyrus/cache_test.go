package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
	"mbox2cyrus/cyrusspool"
)

// TestCacheIsCyrussOwn migrates a host, and has Cyrus parse every message again
// (reconstruct -G): it finds nothing to change.
func TestCacheIsCyrussOwn(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "host")
	truth, err := samplehost.Write(root, samplehost.Options{Seed: 11, Users: 4, Messages: 400})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		flags []string
		told  string
		least float64 // share of the index records that reconstruct left alone
		most  float64
	}{
		{nil, "cyrus.cache is written", 0.8, 1},
		{[]string{"--no-cache"}, "cyrus.cache is left to reconstruct: --no-cache", 0, 0},
	} {
		srv := cyrustest.ForTest(t, cyrustest.Options{})
		log := filepath.Join(t.TempDir(), "log")
		args := append([]string{"migrate", "--source-root", root, "--imapd-conf", srv.Conf, "--state", filepath.Join(t.TempDir(), "state"),
			"--source-timezone", "UTC", "--log-file", log}, tt.flags...)
		if o := runJSON(t, args...); o.code != 0 && o.code != 2 {
			t.Fatalf("exit code %d:\n%s", o.code, strings.Join(o.severe(), "\n"))
		}
		if said := aboutCache(t, log); !strings.HasPrefix(said, tt.told) {
			if tt.flags == nil && strings.Contains(said, "left to reconstruct: version ") {
				t.Skip(said) // a release whose records are not made
			}
			t.Errorf("log: %q, want %q", said, tt.told)
		}
		if share := untouched(t, srv.Spool); share < tt.least || share > tt.most {
			t.Errorf("%v: reconstruct left %.3f of the records alone", tt.flags, share)
		}
		for _, u := range truth.Users {
			out, err := srv.Run(context.Background(), "reconstruct", "-G", "-u", u.Name)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out) {
				if strings.Contains(line, "rewrote cache") || strings.Contains(line, "mismatch") || strings.Contains(line, "updating") {
					t.Errorf("%s: %s", u.Name, line)
				}
			}
		}
	}
}

// untouched returns the share of index records that have the first modseq: Cyrus gives
// a higher one to those that it rewrites.
func untouched(t *testing.T, spool string) float64 {
	t.Helper()
	all, first := 0, 0
	err := filepath.WalkDir(spool, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != "cyrus.index" {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		r, err := cyrusspool.NewIndexReader(f)
		if err != nil {
			return err
		}
		for {
			rec, err := r.Next()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if all++; rec.ModSeq == 1 {
				first++
			}
		}
	})
	if err != nil || all == 0 {
		t.Fatalf("%d records, %v", all, err)
	}
	return float64(first) / float64(all)
}

// aboutCache returns what the log says of the cache.
func aboutCache(t *testing.T, log string) string {
	t.Helper()
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var m struct {
			Type string `json:"message_type"`
			Kind string
			Text string
		}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		if m.Type == "status" && m.Kind == "cache" {
			return m.Text
		}
	}
	return ""
}

// TestReconstructFindsNothingToChange compares each mailbox as it is when reconstruct is
// started with what it is afterwards: where no message had to be parsed, nothing is written
// otherwise, not even the sums in the header of the index.
func TestReconstructFindsNothingToChange(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "host")
	if _, err := samplehost.Write(root, samplehost.Options{Seed: 12, Users: 4, Messages: 400}); err != nil {
		t.Fatal(err)
	}
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	bin, before := filepath.Join(srv.Dir, "copying"), filepath.Join(srv.Dir, "copying", "before")
	wrapProgram(t, srv, bin, "reconstruct", fmt.Sprintf("[ -d %[2]q ] || cp -a %[1]q %[2]q || exit 1\n", srv.Spool, before))
	log := filepath.Join(dir, "log")
	if o := runJSON(t, "migrate", "--source-root", root, "--imapd-conf", srv.Conf, "--state", filepath.Join(dir, "state"), "--cyrus-bin", bin,
		"--jobs", "1", "--special-use", "off", "--source-timezone", "UTC", "--log-file", log); o.code != 0 && o.code != 2 {
		t.Fatalf("exit code %d:\n%s", o.code, strings.Join(o.severe(), "\n"))
	}
	if said := aboutCache(t, log); strings.Contains(said, "left to reconstruct: version ") || strings.Contains(said, "left to reconstruct: its index") {
		t.Skip(said) // a release whose records are not made
	}
	same, parsed := 0, 0
	err := filepath.WalkDir(before, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cyrus.index" {
			return err
		}
		rel, err := filepath.Rel(before, path)
		if err != nil {
			return err
		}
		was, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		is, err := os.ReadFile(filepath.Join(srv.Spool, rel))
		if err != nil {
			return err
		}
		start := len(was) - recordBytes(t, was)
		switch {
		case bytes.Equal(was, is):
			same++
		case len(was) == len(is) && bytes.Equal(was[start:], is[start:]):
			t.Errorf("%s: reconstruct changed the header alone:\n%x\n%x", rel, was[:start], is[:start])
		default:
			parsed++
		}
		for _, name := range []string{"cyrus.annotations", "cyrus.header"} {
			was, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
			if err != nil {
				return err
			}
			is, err := os.ReadFile(filepath.Join(srv.Spool, filepath.Dir(rel), name))
			if err != nil {
				return err
			}
			if !bytes.Equal(was, is) {
				t.Errorf("%s: reconstruct changed %s", rel, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d mailboxes stayed as they were, in %d something was parsed", same, parsed)
	if same <= parsed {
		t.Errorf("reconstruct left %d mailboxes alone and wrote %d", same, parsed)
	}
}

// recordBytes is how much of an index are records.
func recordBytes(t *testing.T, index []byte) int {
	t.Helper()
	r, err := cyrusspool.NewIndexReader(bytes.NewReader(index))
	if err != nil {
		t.Fatal(err)
	}
	h := r.Header()
	return int(h.NumRecords) * h.Version.RecordSize()
}

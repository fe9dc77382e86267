package cyrusspool

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// goldenReleases is every release that testdata/golden has, with the index version that
// its server wrote.
var goldenReleases = map[string]Version{
	"2.1.13": 4, "2.2.12": 6, "2.3.20": 10, "2.4.22": 12, "2.5.17": 13, "3.0.18": 13,
	"3.2.6": 16, "3.4.9": 17, "3.6.1": 17, "3.8.7": 17, "3.10.2": 19, "3.12.4": 19,
}

// eachGolden runs f for every mailbox of every release.
func eachGolden(t *testing.T, f func(t *testing.T, release, mailbox string, header, index []byte)) {
	for release := range goldenReleases {
		boxes, err := filepath.Glob(filepath.Join("testdata/golden", release, "user.*"))
		if err != nil || len(boxes) < 3 {
			t.Fatalf("release %s: mailboxes %v, %v", release, boxes, err)
		}
		for _, box := range boxes {
			t.Run(release+"/"+filepath.Base(box), func(t *testing.T) {
				f(t, release, filepath.Base(box), readFile(t, box, "cyrus.header"), readFile(t, box, "cyrus.index"))
			})
		}
	}
}

func readFile(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readRecords(t testing.TB, index []byte) (IndexHeader, []Record) {
	t.Helper()
	r, err := NewIndexReader(bytes.NewReader(index))
	if err != nil {
		t.Fatal(err)
	}
	var records []Record
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return r.Header(), records
		}
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
	}
}

func TestGoldenRoundTrip(t *testing.T) {
	eachGolden(t, func(t *testing.T, release, mailbox string, header, index []byte) {
		h, err := ParseHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		again, err := h.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, header) {
			t.Errorf("cyrus.header written again is\n%q\nnot\n%q", again, header)
		}
		ih, records := readRecords(t, index)
		if want := goldenReleases[release]; ih.Version != want {
			t.Errorf("version %d, want %d", ih.Version, want)
		}
		again, err = ih.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range records {
			if again, err = AppendRecord(again, ih.Version, &records[i]); err != nil {
				t.Fatal(err)
			}
		}
		if ih.Version == Version4 {
			// 2.1 wrote whatever its stack held into the spare fields of the header.
			clear(index[60:76])
		}
		if !bytes.Equal(again, index) {
			t.Errorf("cyrus.index written again is\n%x\nnot\n%x", again, index)
		}
		if ih.Version >= Version12 && ih.HeaderFileCRC != crc32.ChecksumIEEE(header) {
			t.Errorf("header_file_crc %08x is not that of cyrus.header", ih.HeaderFileCRC)
		}
	})
}

// TestGoldenMbexamine compares what we read with what Cyrus's own mbexamine printed.
func TestGoldenMbexamine(t *testing.T) {
	compared := 0
	eachGolden(t, func(t *testing.T, release, mailbox string, header, index []byte) {
		if release == "2.1.13" {
			t.Skip("2.1 has no mbexamine")
		}
		text := section(t, release, mailbox)
		h, err := ParseHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		ih, records := readRecords(t, index)
		want := firstValues(text)
		got := map[string]string{
			"Unique ID":         h.UniqueID,
			"User Flags":        strings.TrimRight(strings.Join(h.Flags, " "), " "),
			"Mailbox ACL":       h.ACL[0].ID + "\t" + h.ACL[0].Rights,
			"Generation Number": fmt.Sprint(ih.Generation),
			"Minor Version":     fmt.Sprint(ih.Version),
			"Header Size":       fmt.Sprint(ih.HeaderSize),
			"Record Size":       fmt.Sprint(ih.RecordSize),
			"Number of Messages": fmt.Sprint(map[bool]uint32{
				true: ih.Exists, false: ih.NumRecords}[ih.Version >= Version12]),
			"Mailbox Size":    fmt.Sprint(ih.QuotaMailboxUsed),
			"UIDValidity":     fmt.Sprint(ih.UIDValidity),
			"Last UID":        fmt.Sprint(ih.LastUID),
			"Deleted":         fmt.Sprint(ih.Deleted),
			"Answered":        fmt.Sprint(ih.Answered),
			"Flagged":         fmt.Sprint(ih.Flagged),
			"Last POP3 Login": fmt.Sprintf("(%d)", ih.POP3LastLogin),
		}
		if ih.Version >= Version10 {
			got["Highest Mod Sequence"] = fmt.Sprint(ih.HighestModSeq)
		}
		if ih.Version == Version19 {
			got["Deleted Size"] = fmt.Sprint(ih.QuotaDeletedUsed)
			got["Expunged Size"] = fmt.Sprint(ih.QuotaExpungeUsed)
		}
		if want["User Flags"] == "[none]" {
			want["User Flags"] = ""
		}
		for key, value := range got {
			if want[key] != value {
				t.Errorf("%s: read %q, mbexamine says %q", key, value, want[key])
			}
		}
		messages := recordsOf(t, text)
		i := 0
		for _, r := range records {
			if i < len(messages) && messages[i]["UID"] == fmt.Sprintf("%08d", r.UID) {
				compareRecord(t, messages[i], r)
				compared++
				i++
			} else if r.SystemFlags&FlagExpunged == 0 {
				t.Errorf("uid %d is not in mbexamine's list", r.UID)
			}
		}
		if i != len(messages) {
			t.Errorf("mbexamine lists %d messages, found %d of them", len(messages), i)
		}
	})
	if compared < 70 {
		t.Errorf("compared only %d records", compared)
	}
}

// section returns what the release's mbexamine printed of the mailbox.
func section(t *testing.T, release, mailbox string) string {
	text := string(readFile(t, "testdata/golden", release, "mbexamine.txt"))
	for _, sep := range []byte("./") {
		if _, after, found := strings.Cut(text, "Examining "+Name(mailbox).External(sep)+"..."); found {
			section, _, _ := strings.Cut(after, "Examining ")
			return section
		}
	}
	t.Fatalf("mbexamine.txt does not have %s", mailbox)
	return ""
}

var valueRE = regexp.MustCompile(`(?m)(?:^ *|  )([A-Z][A-Za-z0-9 ]+): *([^\n]*)`)

// firstValues returns the "Key: value" pairs ahead of the messages. Values end at two
// spaces, a word that is a unit, or the line.
func firstValues(text string) map[string]string {
	text, _, _ = strings.Cut(text, "Message Info:")
	values := make(map[string]string)
	for _, line := range strings.Split(text, "\n") {
		for _, part := range strings.Split(line, "  ") {
			m := valueRE.FindStringSubmatch(part)
			if m == nil {
				continue
			}
			value := strings.TrimSpace(m[2])
			value = strings.TrimSuffix(value, " bytes")
			if strings.HasPrefix(value, "(") {
				value, _, _ = strings.Cut(value, " ")
			}
			values[m[1]] = value
		}
	}
	return values
}

var recordRE = regexp.MustCompile(`([A-Z_]+) *: *([0-9a-fA-F]+)`)

func recordsOf(t *testing.T, text string) []map[string]string {
	var all []map[string]string
	for line := range strings.Lines(text) {
		if regexp.MustCompile(`^\d{6}> UID:`).MatchString(line) {
			all = append(all, make(map[string]string))
		} else if !strings.HasPrefix(line, "      > ") {
			continue
		}
		values := all[len(all)-1]
		for _, m := range recordRE.FindAllStringSubmatch(line, -1) {
			values[m[1]] = strings.ToLower(m[2])
		}
		if _, after, found := strings.Cut(line, "USERFLAGS: "); found {
			values["USERFLAGS"] = strings.TrimSpace(after)
		}
	}
	return all
}

func compareRecord(t *testing.T, want map[string]string, r Record) {
	t.Helper()
	got := map[string]string{
		"UID":       fmt.Sprintf("%08d", r.UID),
		"INT_DATE":  fmt.Sprint(r.InternalDate),
		"SENTDATE":  fmt.Sprint(r.SentDate),
		"SIZE":      fmt.Sprint(r.Size),
		"HDRSIZE":   fmt.Sprint(r.HeaderSize),
		"LASTUPD":   fmt.Sprint(r.LastUpdated),
		"SYSFLAGS":  fmt.Sprintf("%08x", r.SystemFlags),
		"CACHEVER":  fmt.Sprint(r.CacheVersion),
		"USERFLAGS": fmt.Sprintf("%08x %08x %08x %08x", r.UserFlags[3], r.UserFlags[2], r.UserFlags[1], r.UserFlags[0]),
	}
	for key, value := range map[string]string{
		"SAVEDATE": fmt.Sprint(r.SaveDate),
		"LINES":    fmt.Sprint(r.ContentLines),
		"GUID":     fmt.Sprintf("%x", r.GUID),
		"MODSEQ":   fmt.Sprint(r.ModSeq),
		"THRID":    fmt.Sprintf("%x", r.ThreadID),
		"THIRD":    fmt.Sprintf("%x", r.ThreadID), // 2.5's spelling
	} {
		if _, printed := want[key]; printed {
			got[key] = value
		}
	}
	delete(want, "INTERNALFLAGS")
	delete(want, "SYSTEMFLAGS")
	delete(want, "FLAGS")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("uid %d, mbexamine (-) and read (+):\n%s", r.UID, diff)
	}
}

var (
	imapBoxRE     = regexp.MustCompile(`^   (\S+) \(MESSAGES (\d+) RECENT (\d+) UIDNEXT (\d+) UIDVALIDITY (\d+) UNSEEN (\d+)\)`)
	imapMessageRE = regexp.MustCompile(`^     uid (\d+) (.*)\| (\S+ \S+ \S+) \| (\d+)`)
)

// TestGoldenIMAP compares what we read with what the owner saw over IMAP.
func TestGoldenIMAP(t *testing.T) {
	compared := 0
	eachGolden(t, func(t *testing.T, release, mailbox string, header, index []byte) {
		h, err := ParseHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		ih, records := readRecords(t, index)
		var want, got []string
		current := ""
		for line := range strings.Lines(string(readFile(t, "testdata/golden", release, "imap.txt"))) {
			if m := imapBoxRE.FindStringSubmatch(line); m != nil {
				current = strings.TrimPrefix(strings.ReplaceAll(m[1], "/", "."), "INBOX.")
				current = strings.TrimSuffix("user.joe."+strings.TrimPrefix(current, "INBOX"), ".")
				if current == mailbox {
					want = append(want, fmt.Sprintf("uidnext %s uidvalidity %s", m[4], m[5]))
				}
			}
			if m := imapMessageRE.FindStringSubmatch(line); m != nil && current == mailbox {
				date, err := time.Parse("2-Jan-2006 15:04:05 -0700", m[3])
				if err != nil {
					t.Fatal(err)
				}
				flags := strings.Fields(m[2])
				flags = slices.DeleteFunc(flags, func(f string) bool {
					return f == `\Recent` || ih.Version < Version12 && f == `\Seen`
				})
				slices.Sort(flags)
				want = append(want, fmt.Sprintf("%s %v %d %s", m[1], flags, date.Unix(), m[4]))
				compared++
			}
		}
		if current == "" {
			t.Fatal("imap.txt cannot be read")
		}
		if len(want) == 0 && mailbox == "user.joe.proj" {
			t.Skip("made by the server itself, empty, not in imap.txt")
		}
		got = append(got, fmt.Sprintf("uidnext %d uidvalidity %d", ih.LastUID+1, ih.UIDValidity))
		for _, r := range records {
			if r.SystemFlags&FlagExpunged == 0 {
				got = append(got, fmt.Sprintf("%d %v %d %d", r.UID, flagNames(h, r), r.InternalDate, r.Size))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("IMAP (-) and read (+):\n%s", diff)
		}
	})
	if compared < 84 {
		t.Errorf("compared only %d messages", compared)
	}
}

func flagNames(h *Header, r Record) []string {
	var names []string
	for bit, name := range map[uint32]string{
		FlagAnswered: `\Answered`, FlagFlagged: `\Flagged`, FlagDeleted: `\Deleted`, FlagDraft: `\Draft`, FlagSeen: `\Seen`,
	} {
		if r.SystemFlags&bit != 0 {
			names = append(names, name)
		}
	}
	for n, name := range h.Flags {
		if r.UserFlags[n/32]&(1<<(n%32)) != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestGoldenSubscriptions(t *testing.T) {
	want := []Name{"user.joe", "user.joe.Sent", "user.joe.proj.alpha"}
	for release, version := range goldenReleases {
		file := "joe.sub"
		form, formVersion := SubscriptionNames, 0
		if slices.Contains([]string{"3.6.1", "3.8.7", "3.10.2", "3.12.4"}, release) {
			file, form, formVersion = "sub.db", SubscriptionDBNames, 2
		}
		if release == "3.12.4" {
			formVersion = 3
		}
		b := readFile(t, "testdata/golden", release, file)
		s, err := ParseSubscriptions(b, "joe")
		if err != nil {
			t.Errorf("%s (index version %d): %v", release, version, err)
			continue
		}
		if diff := cmp.Diff(&Subscriptions{Form: form, Version: formVersion, Owner: "joe", Names: want}, s); diff != "" {
			t.Errorf("%s: %s", release, diff)
		}
		if again, err := s.Append(nil); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: written again %q, %v", release, again, err)
		}
	}
}

// sharedGolden is the folder of whole spools, which the repository does not hold.
func sharedGolden(t *testing.T) string {
	shared := os.Getenv("MBOX2CYRUS_SHARED")
	if shared == "" {
		shared = "../../shared"
	}
	dir := filepath.Join(shared, "golden")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		t.Skipf("%s is not there: set MBOX2CYRUS_SHARED to the folder with the whole spools", dir)
	}
	return dir
}

// TestGoldenLayout finds every mailbox of the whole spools where we say it is, with the
// message files that its index names, and their sizes and hashes as recorded.
func TestGoldenLayout(t *testing.T) {
	dir := sharedGolden(t)
	for release := range goldenReleases {
		t.Run(release, func(t *testing.T) {
			conf, err := ParseConf(filepath.Join(dir, release, "imapd.conf"))
			if err != nil {
				t.Fatal(err)
			}
			hashed, err := conf.Bool("hashimapspool", false)
			if err != nil {
				t.Fatal(err)
			}
			boxes, err := filepath.Glob(filepath.Join("testdata/golden", release, "user.*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, box := range boxes {
				h, err := ParseHeader(readFile(t, box, "cyrus.header"))
				if err != nil {
					t.Fatal(err)
				}
				at := Hashing{Spool: hashed}.Dir(Name(filepath.Base(box)))
				if h.Form == HeaderDlist {
					at = DirByID(h.UniqueID)
				}
				_, records := readRecords(t, readFile(t, dir, release, "spool", at, "cyrus.index"))
				for _, r := range records {
					if r.SystemFlags&FlagExpunged != 0 {
						continue // the file may be gone already
					}
					message := readFile(t, dir, release, "spool", at, messageName(r.UID))
					if uint64(len(message)) != r.Size {
						t.Errorf("%s uid %d: %d bytes, record says %d", at, r.UID, len(message), r.Size)
					}
					if r.GUID != [20]byte{} && r.GUID != sha1.Sum(message) {
						t.Errorf("%s uid %d: GUID is not the SHA-1 of the file", at, r.UID)
					}
				}
			}
		})
	}
}

// TestVector is the index of one message, byte by byte, that reconstruct of 2.5, 3.0 and
// 3.4 was seen to accept.
func TestVector(t *testing.T) {
	message := []byte("From: a@b.c\r\n\r\nhi\r\n")
	hdr := Header{
		UniqueID: "0123456789abcdef",
		Flags:    []string{"$Label1"},
		ACL:      []ACLEntry{{"joe", "lrswipkxtecda"}},
	}
	header, err := hdr.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(header) != 161 || crc32.ChecksumIEEE(header) != 0xfb2edf8e {
		t.Errorf("cyrus.header: %d bytes, CRC %08x", len(header), crc32.ChecksumIEEE(header))
	}
	h := IndexHeader{
		Version: 13, NumRecords: 1, LastUID: 12, UIDValidity: 1234567, HighestModSeq: 3,
		Options: OptPOP3NewUIDL | OptNeedsRepack, HeaderFileCRC: crc32.ChecksumIEEE(header), RecentUID: 12,
	}
	index, err := h.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	index, err = AppendRecord(index, 13, &Record{
		UID: 5, InternalDate: 1000000005, Size: 19, SystemFlags: FlagSeen | FlagFlagged,
		UserFlags: [4]uint32{1}, GUID: sha1.Sum(message), ModSeq: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]string{
		0:   "00000000000000000000000d00000080",
		16:  "0000006800000001000000000000000c",
		32:  "0000000000000000000000000012d687",
		48:  "00000000000000000000000040000001",
		64:  "00000000000000000000000300000000",
		80:  "00000000000000000000000000000000",
		96:  "fb2edf8e000000000000000c00000000",
		112: "000000000000000000000000f798f037",
		128: "000000053b9aca050000000000000013",
		144: "00000000000000000000000000000000",
		160: "00000012000000010000000000000000",
		176: "0000000000000000000000004d91ec3d",
		192: "43548298bdd10421614e28b0e6db95b6",
		208: "00000000000000030000000000000000",
		224: "0000000042748dbf",
	}
	if len(index) != 232 {
		t.Fatalf("%d bytes, want 232", len(index))
	}
	for _, at := range slices.Sorted(maps.Keys(want)) {
		if got := fmt.Sprintf("%x", index[at:min(at+16, len(index))]); got != want[at] {
			t.Errorf("at %d: %s, want %s", at, got, want[at])
		}
	}
}

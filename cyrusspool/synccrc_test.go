package cyrusspool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestSyncSumsOfReleases compares the sums in the indexes of all real releases with ours.
func TestSyncSumsOfReleases(t *testing.T) {
	compared := 0
	eachGolden(t, func(t *testing.T, release, mailbox string, header, index []byte) {
		r, err := NewIndexReader(bytes.NewReader(index))
		if err != nil {
			t.Fatal(err)
		}
		h := r.Header()
		if h.Version < Version12 {
			return
		}
		hdr, err := ParseHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		same, err := CheckSyncSums(r, hdr.Flags)
		if err != nil {
			t.Fatal(err)
		}
		if !same {
			t.Errorf("version %d: the sums are not ours; it has %d, %d", h.Version, h.SyncCRC, h.SyncCRCAnnot)
		}
		compared++
	})
	if compared < 24 {
		t.Errorf("only %d mailboxes were compared", compared)
	}
}

// TestSyncSums looks for each thing that the sums depend on.
func TestSyncSums(t *testing.T) {
	base := Record{UID: 7, Size: 1, InternalDate: 1057053600, ModSeq: 3, LastUpdated: 5, CreatedModSeq: 2, GUID: [20]byte{0xab, 0x01}}
	sums := func(keywords []string, r Record) [2]uint32 {
		s := newSyncSums(Version17, keywords)
		s.add(&r)
		return [2]uint32{s.basic, s.annot}
	}
	plain := sums(nil, base)
	seen := map[[2]uint32]string{plain: "plain"}
	for name, change := range map[string]func(r *Record){
		"uid": func(r *Record) { r.UID++ }, "modseq": func(r *Record) { r.ModSeq++ }, "updated": func(r *Record) { r.LastUpdated++ },
		"date": func(r *Record) { r.InternalDate++ }, "guid": func(r *Record) { r.GUID[19]++ }, "seen": func(r *Record) { r.SystemFlags = FlagSeen },
		"flagged": func(r *Record) { r.SystemFlags = FlagFlagged }, "deleted": func(r *Record) { r.SystemFlags = FlagDeleted },
		"draft": func(r *Record) { r.SystemFlags = FlagDraft }, "answered": func(r *Record) { r.SystemFlags = FlagAnswered },
		"thread": func(r *Record) { r.ThreadID = 0xfedcba }, "saved": func(r *Record) { r.SaveDate = 9 }, "created": func(r *Record) { r.CreatedModSeq++ },
	} {
		r := base
		change(&r)
		got := sums(nil, r)
		if other, known := seen[got]; known {
			t.Errorf("%s has the sums of %s", name, other)
		}
		seen[got] = name
	}
	keyword := base
	keyword.UserFlags[1] = 1 << 2
	names := make([]string, 35)
	names[34] = "NonJunk"
	upper := sums(names, keyword)
	names[34] = "nonJUNK"
	if sums(names, keyword) != upper || upper == plain {
		t.Error("the case of a keyword counts, or the keyword does not")
	}
	if names[34] = ""; sums(names, keyword) != plain {
		t.Error("a flag without a name counts")
	}
	expunged := base
	expunged.SystemFlags = FlagExpunged
	if got := sums(nil, expunged); got != [2]uint32{0, emptyAnnotSum} {
		t.Errorf("an expunged message counts: %v", got)
	}
}

// TestWriterSyncSums has the writer put the sums into its index, whatever the order of the
// records, and the empty annotations beside it.
func TestWriterSyncSums(t *testing.T) {
	partition := t.TempDir()
	annotations := append(bytes.Clone(twoskipMagic), make([]byte, 300)...)
	for _, with := range []bool{true, false} {
		dir := map[bool]string{true: "a", false: "b"}[with]
		w, err := CreateMailbox(partition, dir, Version17, Owner{UID: -1, FileMode: 0o600, DirMode: 0o700})
		if err != nil {
			t.Fatal(err)
		}
		if with {
			w.SyncSums([]string{"NonJunk"})
			if w.EmptyAnnotations([]byte("no database")) || !w.EmptyAnnotations(annotations) {
				t.Error("any file is taken for annotations, or none")
			}
		}
		for _, uid := range []uint32{9, 2, 3} { // the first may come before lower ones
			size, guid, err := w.WriteMessage(uid, time.Unix(5, 0), bytes.NewReader([]byte("a: b\r\n\r\n")))
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Add(Record{UID: uid, Size: uint64(size), GUID: guid, ModSeq: 1, CreatedModSeq: 1, UserFlags: [4]uint32{uid % 2}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Commit(IndexHeader{UIDValidity: 1}, Header{UniqueID: "abc", Flags: []string{"NonJunk"}}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		f, r, err := OneRoot(partition).At(dir).OpenIndex()
		if err != nil {
			t.Fatal(err)
		}
		if same, err := CheckSyncSums(r, []string{"NonJunk"}); err != nil || same != with {
			t.Errorf("sums are there: %v, %v; want %v", same, err, with)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(partition, dir, "cyrus.annotations"))
		if with != bytes.Equal(got, annotations) || with != (err == nil) {
			t.Errorf("annotations: %q, %v", got, err)
		}
	}
}

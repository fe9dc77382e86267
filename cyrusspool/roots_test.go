package cyrusspool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConfRoots(t *testing.T) {
	const common = "partition-default: /data\npartition-fast: /ssd\n"
	for _, tt := range []struct {
		name, conf string
		want       map[string]Roots
	}{
		{"one root", common, map[string]Roots{"default": OneRoot("/data"), "fast": OneRoot("/ssd")}},
		{"without files nothing is moved", common + "metapartition-default: /meta\n",
			map[string]Roots{"default": OneRoot("/data"), "fast": OneRoot("/ssd")}},
		{"some files of one partition", common + "metapartition-default: /meta\nmetapartition_files: header \t cache squat\n",
			map[string]Roots{"default": {Data: "/data", Header: "/meta", Index: "/data", Cache: "/meta"}, "fast": OneRoot("/ssd")}},
		{"metadir goes before", common + "metapartition-fast: /meta\nmetapartition_files: header index\nmetadir-index-fast: /idx\nmetadir-cache-default: /c\n",
			map[string]Roots{"default": {Data: "/data", Header: "/data", Index: "/data", Cache: "/c"},
				"fast": {Data: "/ssd", Header: "/meta", Index: "/idx", Cache: "/ssd"}}},
	} {
		conf, err := ParseConfReader(strings.NewReader(tt.conf), tt.name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, conf.Roots()); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// TestPlaceOfSeveralRoots fills and then updates a mailbox whose files are in three
// places, and finds each file where it belongs and nowhere else.
func TestPlaceOfSeveralRoots(t *testing.T) {
	top := t.TempDir()
	roots := Roots{Data: top + "/data", Header: top + "/meta", Index: top + "/index", Cache: top + "/meta"}
	for _, dir := range roots.All() {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	place := roots.At(DirByID("abc1"))
	header := Header{Form: HeaderDlist, UniqueID: "abc1", Name: "user.joe", Type: "e", ACL: []ACLEntry{{"joe", "lrs"}}}
	files := func() string {
		var all []string
		err := filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				all = append(all, strings.TrimPrefix(path, top+"/"))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(all, " ")
	}
	w, err := place.Create(Version17, nobody)
	if err != nil {
		t.Fatal(err)
	}
	var first Record
	first.UID, first.ModSeq, first.InternalDate = 1, 1, 1000
	first.fill(t, w)
	if err := w.Commit(IndexHeader{UIDValidity: 7}, header); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const all = "data/uuid/a/b/abc1/1. index/uuid/a/b/abc1/cyrus.index meta/uuid/a/b/abc1/cyrus.cache meta/uuid/a/b/abc1/cyrus.header"
	if have := files(); have != all {
		t.Errorf("files %s", have)
	}
	u, err := place.Update(nobody)
	if err != nil {
		t.Fatal(err)
	}
	old, err := u.Old().Next()
	if err != nil || old.UID != 1 || old.GUID != first.GUID {
		t.Errorf("old record %+v, %v", old, err)
	}
	if err := u.Commit(u.Old().Header(), header); err != nil { // without the message
		t.Fatal(err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if have, want := files(), strings.TrimPrefix(all, "data/uuid/a/b/abc1/1. "); have != want {
		t.Errorf("files %s, want %s", have, want)
	}
	if diff := cmp.Diff([]string{place.Messages(), filepath.Dir(place.HeaderFile()), filepath.Dir(place.IndexFile())},
		[]string{place.Dirs()[0], place.Dirs()[1], place.Dirs()[2]}); diff != "" || len(place.Dirs()) != 3 {
		t.Errorf("directories %v: %s", place.Dirs(), diff)
	}
}

func (r *Record) fill(t *testing.T, w *Writer) {
	t.Helper()
	size, guid, err := w.WriteMessage(r.UID, time.Unix(r.InternalDate, 0), strings.NewReader("Subject: x\r\n\r\nhi\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	r.Size, r.GUID = uint64(size), guid
	if err := w.Add(*r); err != nil {
		t.Fatal(err)
	}
}

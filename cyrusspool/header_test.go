package cyrusspool

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHeaderForms(t *testing.T) {
	tests := []struct {
		h    Header
		want string
	}{
		{Header{UniqueID: "1"}, "\t1\n\n\n"},
		{Header{UniqueID: "1", QuotaRoot: "user.joe", Flags: []string{"A", "", "C"}, ACL: []ACLEntry{{"joe", "lr"}, {"group:x y", "l"}}},
			"user.joe\t1\nA  C \njoe\tlr\tgroup:x y\tl\t\n"},
		{Header{Form: HeaderDlist, UniqueID: "1"}, "%(I 1 A %())\n"},
		{Header{Form: HeaderDlist, UniqueID: "1", Name: "user.joe.My Sent", Type: "el", QuotaRoot: "user.joe", JMAPID: "Px",
			Flags: []string{"$Label1", "", "Junk"}, ACL: []ACLEntry{{"joe", "lr"}, {"anyone", ""}, {"NIL", "l"}, {"a%b", "r"}, {"\xe9", "s"}}},
			`%(T el N "user.joe.My Sent" I 1 J Px Q user.joe A %(joe lr anyone "" "NIL" l {3+}` + "\r\na%b r {1+}\r\n\xe9 s) U ($Label1 NIL Junk))\n"},
		{Header{Form: HeaderDlist, UniqueID: "1", Name: Name(strings.Repeat("x", 1024))},
			"%(N {1024+}\r\n" + strings.Repeat("x", 1024) + " I 1 A %())\n"},
		{Header{UniqueID: "1", Flags: []string{"NIL"}}, "\t1\nNIL \n\n"},
		{Header{UniqueID: "1", Flags: slices.Repeat([]string{"f"}, MaxUserFlags)}, "\t1\n" + strings.Repeat("f ", MaxUserFlags) + "\n\n"},
	}
	for _, test := range tests {
		got, err := test.h.Append([]byte("before"))
		if err != nil || string(got) != "before"+headerMagic+test.want {
			t.Errorf("%+v: %q, %v, want %q", test.h, strings.TrimPrefix(string(got), "before"+headerMagic), err, test.want)
			continue
		}
		back, err := ParseHeader(got[len("before"):])
		if err != nil {
			t.Errorf("%q: %v", test.want, err)
			continue
		}
		if diff := cmp.Diff(&test.h, back); diff != "" {
			t.Error(diff)
		}
	}
}

// TestHeaderWithoutName: as relocate_by_id of 3.6 and 3.12 left it of a mailbox that 3.2 had made.
func TestHeaderWithoutName(t *testing.T) {
	h, err := ParseHeader([]byte(headerMagic + "%(T e N NIL I 1 A %(joe lr) U (Junk))\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Header{Form: HeaderDlist, Type: "e", UniqueID: "1", ACL: []ACLEntry{{"joe", "lr"}}, Flags: []string{"Junk"}}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Error(diff)
	}
}

func TestParseHeaderRefused(t *testing.T) {
	for _, text := range []string{
		"", "\t1\n\n", "\t1\n\n\n\n", "1\n\n\n", "\t1\t2\n\n\n", "\t1\nA\n\n", "\t1\n\njoe\tlr\n", "\t1\n\njoe\t\n",
		"%", "%(", "%()", "%(I 1 A %())", "%(I 1 A %())\nx", "%(I 1 I 2 A %())\n", "%(Z 1)\n", "%(I NIL)\n", "%(I 1 A %(joe))\n",
		"%(I 1 A %(joe lr)x)\n", "%(I 1 U (A  B))\n", "%(I \"1)\n", "%(I {5}\r\n1)\n", "%(I {x}\r\n1)\n", "%(I {-1}\r\n1)\n", "%(I)\n",
		"\t1\n" + strings.Repeat("f ", MaxUserFlags+1) + "\n\n",
	} {
		if h, err := ParseHeader([]byte(headerMagic + text)); !errors.Is(err, ErrHeader) {
			t.Errorf("%.60q: %+v, %v, want ErrHeader", text, h, err)
		}
	}
	if _, err := ParseHeader([]byte("\t1\n\n\n")); !errors.Is(err, ErrHeader) {
		t.Errorf("without the magic: %v", err)
	}
}

func TestAppendHeaderRefused(t *testing.T) {
	for _, h := range []Header{
		{}, {UniqueID: "a\tb"}, {UniqueID: "1", QuotaRoot: "a\nb"}, {UniqueID: "1", Flags: []string{"a b"}},
		{UniqueID: "1", Flags: []string{"caf\xe9"}}, {UniqueID: "1", Flags: []string{`\Seen`}}, {UniqueID: "1", Flags: make([]string, MaxUserFlags+1)},
		{Form: HeaderDlist, UniqueID: "1", Flags: []string{"NIL"}}, {UniqueID: "1", ACL: []ACLEntry{{"joe", "l\x00"}}},
	} {
		if b, err := h.Append([]byte("x")); !errors.Is(err, ErrHeader) || string(b) != "x" {
			t.Errorf("%+v: %q, %v, want ErrHeader and nothing appended", h, b, err)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	goldens, err := filepath.Glob("testdata/golden/*/user.*/cyrus.header")
	if err != nil || len(goldens) == 0 {
		f.Fatal(goldens, err)
	}
	for _, path := range goldens {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(strings.TrimPrefix(string(b), headerMagic))
	}
	f.Add("%(N \"a b\\\"\" I {3+}\r\nabc Q x A %(\"\" {0}\r\n) U (NIL A))\n")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHeader([]byte(headerMagic + text))
		if err != nil {
			if !errors.Is(err, ErrHeader) {
				t.Errorf("%v does not wrap ErrHeader", err)
			}
			return
		}
		b, err := h.Append(nil)
		if err != nil {
			return // Cyrus may hold what we refuse to write
		}
		back, err := ParseHeader(b)
		if err != nil {
			t.Fatalf("%q written again: %v", text, err)
		}
		if !reflect.DeepEqual(h, back) {
			t.Errorf("%q written again is %+v, was %+v", text, back, h)
		}
	})
}

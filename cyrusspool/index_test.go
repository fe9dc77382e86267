package cyrusspool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestLayouts checks the tables themselves: no two fields of a version overlap, all lie
// inside, and up to version 19 records have no byte without a field.
func TestLayouts(t *testing.T) {
	known := 0
	for v := range Version(30) {
		if !v.Known() {
			if v.HeaderSize() != 0 || v.RecordSize() != 0 {
				t.Errorf("version %d is not known but has sizes", v)
			}
			continue
		}
		known++
		l := layouts[v]
		crc := 0
		if v.hasCRC() {
			crc = 4
		}
		header := used(t, v, l.header, l.headerSize-crc)
		record := used(t, v, l.record, l.recordSize-crc)
		t.Logf("version %d: %d of %d bytes of the header, %d of %d of a record", v, header, l.headerSize, record, l.recordSize)
		if record != l.recordSize-crc {
			t.Errorf("version %d: fields fill %d bytes of a record of %d", v, record, l.recordSize-crc)
		}
	}
	if known != 16 {
		t.Errorf("%d versions", known)
	}
}

func used[T any](t *testing.T, v Version, slots []slot[T], size int) int {
	t.Helper()
	by := make([]string, size)
	n := 0
	for _, s := range slots {
		if s.off+s.width > size {
			t.Errorf("version %d: %s ends at %d of %d", v, s.name, s.off+s.width, size)
			continue
		}
		for i := s.off; i < s.off+s.width; i++ {
			if by[i] != "" {
				t.Errorf("version %d: %s and %s at %d", v, by[i], s.name, i)
			}
			by[i] = s.name
			n++
		}
	}
	return n
}

// filled sets every exported field of a struct to a value of its own, below 2^16.
func filled[T any](t *testing.T) (s T, names []string) {
	t.Helper()
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		if !v.Type().Field(i).IsExported() {
			continue
		}
		switch f := v.Field(i); f.Kind() {
		case reflect.Uint32, reflect.Uint64:
			f.SetUint(uint64(1000 + i))
		case reflect.Int64:
			f.SetInt(int64(1000 + i))
		case reflect.Array:
			for j := range f.Len() {
				f.Index(j).SetUint(uint64(100 + j))
			}
		default:
			t.Fatalf("field %s of kind %v", v.Type().Field(i).Name, f.Kind())
		}
		names = append(names, v.Type().Field(i).Name)
	}
	return s, names
}

// TestEveryField checks that in every version a field is either kept or absent, and
// that each exists in some version.
func TestEveryField(t *testing.T) {
	seen := make(map[string]bool)
	check := func(v Version, in, out reflect.Value, names []string) {
		for _, name := range names {
			was, is := in.FieldByName(name), out.FieldByName(name)
			switch {
			case reflect.DeepEqual(was.Interface(), is.Interface()):
				seen[in.Type().Name()+name] = true
			case name == "GUID" && v < Version10:
				if v >= 7 && !bytes.Equal(is.Slice(0, 12).Bytes(), was.Slice(0, 12).Bytes()) {
					t.Errorf("version %d: GUID is %x", v, is.Interface())
				}
			case !is.IsZero():
				t.Errorf("version %d: %s is %v, was %v", v, name, is.Interface(), was.Interface())
			}
		}
	}
	for v := range newest + 1 {
		if !v.Known() {
			continue
		}
		h, names := filled[IndexHeader](t)
		h.Version = v
		b, err := h.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseIndexHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		h.HeaderSize, h.RecordSize = uint32(v.HeaderSize()), uint32(v.RecordSize())
		check(v, reflect.ValueOf(&h).Elem(), reflect.ValueOf(&back).Elem(), names)

		r, names := filled[Record](t)
		r.SystemFlags &^= FlagSeen
		if b, err = AppendRecord(nil, v, &r); err != nil {
			t.Fatal(err)
		}
		rec, err := ParseRecord(b, v)
		if err != nil {
			t.Fatal(err)
		}
		check(v, reflect.ValueOf(&r).Elem(), reflect.ValueOf(&rec).Elem(), names)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[IndexHeader](), reflect.TypeFor[Record]()} {
		for i := range typ.NumField() {
			if f := typ.Field(i); f.IsExported() && !seen[typ.Name()+f.Name] {
				t.Errorf("%s.%s is in no version", typ.Name(), f.Name)
			}
		}
	}
}

// TestRecordsTakeNothingOver: a record that is written where another one was, or read after
// one, is as it is alone.
func TestRecordsTakeNothingOver(t *testing.T) {
	full, _ := filled[Record](t)
	full.CacheOffset = 1<<48 - 1
	for v := range newest + 1 {
		if !v.Known() {
			continue
		}
		r := Record{UID: 7, Size: 1}
		alone, err := AppendRecord(nil, v, &r)
		if err != nil {
			t.Fatal(err)
		}
		dirty := bytes.Repeat([]byte{0xff}, v.RecordSize())
		if after, err := AppendRecord(dirty[:0], v, &r); err != nil || !bytes.Equal(after, alone) {
			t.Errorf("version %d: %x, %v, want %x", v, after, err, alone)
		}
		h := IndexHeader{Version: v, NumRecords: 2}
		index, err := h.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		full.UID, full.SystemFlags = 6, full.SystemFlags&v.SystemFlags()
		if index, err = AppendRecord(index, v, &full); err != nil {
			t.Logf("version %d: %v", v, err)
			continue
		}
		reader, err := NewIndexReader(bytes.NewReader(append(index, alone...)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Next(); err != nil {
			t.Fatal(err)
		}
		if got, err := reader.Next(); err != nil || got != r {
			t.Errorf("version %d: %+v, %v, want %+v", v, got, err, r)
		}
	}
}

func TestRecordRanges(t *testing.T) {
	const billion = 1_000_000_000
	tests := []struct {
		name string
		v    Version
		r    Record
		want error
	}{
		{"date of 2106", 19, Record{InternalDate: math.MaxUint32}, nil},
		{"date after 2106", 19, Record{InternalDate: math.MaxUint32 + 1}, ErrRange},
		{"date before 1970", 19, Record{InternalDate: -1}, ErrRange},
		{"date before 1970 in nanoseconds", 20, Record{InternalDate: -1, nsec: recordNanos{internal: 999_999_999}}, nil},
		{"first date in nanoseconds", 20, Record{InternalDate: math.MinInt64/billion - 1, nsec: recordNanos{internal: billion - 854775808}}, nil},
		{"before it", 20, Record{InternalDate: math.MinInt64/billion - 1}, ErrRange},
		{"last date in nanoseconds", 20, Record{InternalDate: math.MaxInt64 / billion, nsec: recordNanos{internal: 854775807}}, nil},
		{"after it", 20, Record{InternalDate: math.MaxInt64 / billion, nsec: recordNanos{internal: 854775808}}, ErrRange},
		{"far after it", 20, Record{InternalDate: math.MaxInt64}, ErrRange},
		{"4 GiB", 19, Record{Size: 1 << 32}, ErrRange},
		{"4 GiB in 64 bits", 20, Record{Size: 1 << 32}, nil},
		{"cache of 256 TiB", 17, Record{CacheOffset: 1 << 48}, ErrRange},
		{"cache below it", 17, Record{CacheOffset: 1<<48 - 1, CacheVersion: 0xffff}, nil},
		{"cache version", 17, Record{CacheVersion: 0x10000}, ErrRange},
		{"seen", 12, Record{SystemFlags: FlagSeen}, nil},
		{"seen in 2.3", 10, Record{SystemFlags: FlagSeen}, ErrSeenUnsupported},
		{"version 11", 11, Record{}, ErrIndexVersion},
		{"version 21", 21, Record{}, ErrIndexVersion},
		{"version 2^32-1", math.MaxUint32, Record{}, ErrIndexVersion},
	}
	for _, test := range tests {
		b, err := AppendRecord([]byte("x"), test.v, &test.r)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if err != nil {
			if string(b) != "x" {
				t.Errorf("%s: %q was appended", test.name, b)
			}
			continue
		}
		if back, err := ParseRecord(b[1:], test.v); err != nil || back != test.r {
			t.Errorf("%s: %+v, %v", test.name, back, err)
		}
	}
	h := IndexHeader{Version: 19, QuotaAnnotUsed: 1 << 32}
	if b, err := h.AppendTo([]byte("x")); !errors.Is(err, ErrRange) || string(b) != "x" {
		t.Errorf("header: %q, %v", b, err)
	}
}

// smallIndex returns an index of version v with the UIDs.
func smallIndex(t testing.TB, v Version, uids ...uint32) []byte {
	t.Helper()
	h := IndexHeader{Version: v, NumRecords: uint32(len(uids))}
	b, err := h.AppendTo(nil)
	for _, uid := range uids {
		if err != nil {
			t.Fatal(err)
		}
		b, err = AppendRecord(b, v, &Record{UID: uid})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readAll(b []byte) (uids []uint32, err error) {
	r, err := NewIndexReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return uids, nil
		}
		if err != nil {
			return uids, err
		}
		uids = append(uids, rec.UID)
	}
}

func TestIndexReader(t *testing.T) {
	good := smallIndex(t, 17, 3, 5, 9)
	put := func(at int, n uint32) []byte {
		b := bytes.Clone(good)
		binary.BigEndian.PutUint32(b[at:], n)
		return b
	}
	tests := []struct {
		name  string
		index []byte
		read  int
		want  error
	}{
		{"good", good, 3, nil},
		{"bytes behind the last record", append(bytes.Clone(good), "garbage"...), 3, nil},
		{"no record", smallIndex(t, 13), 0, nil},
		{"no byte", nil, 0, ErrTruncated},
		{"19 bytes", good[:19], 0, ErrTruncated},
		{"half a header", good[:100], 0, ErrTruncated},
		{"half a record", good[:len(good)-1], 2, ErrTruncated},
		{"no record where some are counted", good[:160], 0, ErrTruncated},
		{"version 11", put(8, 11), 0, ErrIndexVersion},
		{"version 2^32-1", put(8, math.MaxUint32), 0, ErrIndexVersion},
		{"header size", put(12, 128), 0, ErrIndexSize},
		{"record size", put(16, 104), 0, ErrIndexSize},
		{"a bit of the header", put(44, 7), 0, ErrCRC},
		{"a bit of the last record", put(160+2*112+40, 1), 2, ErrCRC},
		{"UIDs fall", smallIndex(t, 17, 3, 2), 1, ErrUIDOrder},
		{"a UID twice", smallIndex(t, 17, 3, 3), 1, ErrUIDOrder},
		{"UID 0", smallIndex(t, 17, 0), 0, ErrUIDOrder},
	}
	for _, test := range tests {
		uids, err := readAll(test.index)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) || len(uids) != test.read {
			t.Errorf("%s: read %v, %v, want %d and %v", test.name, uids, err, test.read, test.want)
		}
	}
	broken := errors.New("broken disk")
	if _, err := NewIndexReader(io.MultiReader(strings.NewReader("x"), failingReader{broken})); !errors.Is(err, broken) {
		t.Errorf("failing reader: %v", err)
	}
}

// TestIndexReaderMemory: what a reader needs is by the size of the index. A host has tens of
// thousands of mailboxes, most of them small.
func TestIndexReaderMemory(t *testing.T) {
	many := make([]uint32, 5000)
	for i := range many {
		many[i] = uint32(i + 1)
	}
	for _, tt := range []struct {
		uids  []uint32
		bytes int64
	}{{nil, 8 << 10}, {many[:10], 8 << 10}, {many, 80 << 10}} {
		index := smallIndex(t, 17, tt.uids...)
		const runs = 50
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if uids, err := readAll(index); len(uids) != len(tt.uids) || err != nil {
				t.Fatal(len(uids), err)
			}
		}
		runtime.ReadMemStats(&after)
		// readAll has the UIDs: 4 bytes each, and as much again for each time that the list grew.
		if n := int64(after.TotalAlloc-before.TotalAlloc)/runs - int64(len(tt.uids))*20; n > tt.bytes {
			t.Errorf("%d records: %d bytes are allocated, more than %d", len(tt.uids), n, tt.bytes)
		}
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func FuzzIndex(f *testing.F) {
	goldens, err := filepath.Glob("testdata/golden/*/user.*/cyrus.index")
	if err != nil || len(goldens) == 0 {
		f.Fatal(goldens, err)
	}
	for _, path := range goldens {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	// Of every version, those too that no golden file has.
	for v := range newest + 1 {
		if v.Known() {
			f.Add(smallIndex(f, v, 1, 2, 1<<32-1))
		}
	}
	f.Fuzz(func(t *testing.T, index []byte) {
		mendCRCs(index)
		r, err := NewIndexReader(bytes.NewReader(index))
		if err != nil {
			return
		}
		h := r.Header()
		b, err := h.AppendTo(nil)
		if err != nil {
			t.Fatalf("header that was read: %v", err)
		}
		for {
			rec, err := r.Next()
			if err != nil {
				break
			}
			if b, err = AppendRecord(b, h.Version, &rec); err != nil {
				if errors.Is(err, ErrSeenUnsupported) {
					return
				}
				t.Fatalf("record that was read: %v", err)
			}
		}
		again, err := ParseIndexHeader(b)
		if err != nil || again != h {
			t.Errorf("header %+v, %v, was %+v", again, err, h)
		}
		uids, err := readAll(index)
		copied, errCopied := readAll(b)
		if !slices.Equal(uids, copied) || (err == nil) != (errCopied == nil) && len(b) == len(index) {
			t.Errorf("copy has %v, %v, was %v, %v", copied, errCopied, uids, err)
		}
	})
}

// mendCRCs makes all CRCs of index right, so that fuzzing comes past them.
func mendCRCs(index []byte) {
	if len(index) < 12 {
		return
	}
	v := Version(binary.BigEndian.Uint32(index[8:]))
	if !v.Known() || !v.hasCRC() {
		return
	}
	for part, size := index, v.HeaderSize(); len(part) >= size; size = v.RecordSize() {
		binary.BigEndian.PutUint32(part[size-4:], crc32.ChecksumIEEE(part[:size-4]))
		part = part[size:]
	}
}

// TestWhatVersionsHave: where a version has no \Seen, no SHA-1 or no CRC in its index, others
// look for them elsewhere, or not at all. Version 12 is the first with \Seen and CRCs
// (the indexes in testdata/golden), 10 with a SHA-1.
func TestWhatVersionsHave(t *testing.T) {
	for v := range newest + 1 {
		if !v.Known() {
			continue
		}
		if seen := v.SystemFlags()&FlagSeen != 0; seen != (v >= 12) {
			t.Errorf("version %d: \\Seen %v", v, seen)
		}
		if v.HasGUID() != (v >= 10) || v.HasCacheCRC() != (v >= 12) {
			t.Errorf("version %d: SHA-1 %v, CRC %v", v, v.HasGUID(), v.HasCacheCRC())
		}
		for _, flag := range []uint32{FlagAnswered, FlagFlagged, FlagDeleted, FlagDraft} {
			if v.SystemFlags()&flag == 0 {
				t.Errorf("version %d: no flag %x", v, flag)
			}
		}
	}
}

package cyrusspool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestCacheReader: the CRCs are those of the records, in whatever order they are asked for, also
// of records that are longer than what is read at a time. Of what is not whole there is none.
func TestCacheReader(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	file := binary.BigEndian.AppendUint32(nil, 7)
	var offsets []uint64
	var crcs []uint32
	for i := range 40 {
		start := len(file)
		for range cacheItems {
			n := random.IntN(3000)
			if i%10 == 9 {
				n *= 40
			}
			file = binary.BigEndian.AppendUint32(file, uint32(n))
			for range (n + 3) &^ 3 {
				file = append(file, byte(random.Uint32()))
			}
		}
		offsets, crcs = append(offsets, uint64(start)), append(crcs, crc32.ChecksumIEEE(file[start:]))
	}
	last := len(offsets) - 1
	path := filepath.Join(t.TempDir(), fileCache)
	open := func(text []byte) *CacheReader {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := OneRoot(filepath.Dir(path)).At(".").OpenCache()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := open(file)
	if g, err := c.Generation(); g != 7 || err != nil {
		t.Errorf("generation %d, %v", g, err)
	}
	for _, order := range [][]int{random.Perm(len(offsets)), random.Perm(len(offsets)), {0, 1, 2, last, last - 1, 0}} {
		for _, i := range order {
			if crc, err := c.CRC(offsets[i]); crc != crcs[i] || err != nil {
				t.Errorf("record %d: %08x, %v; want %08x", i, crc, err, crcs[i])
			}
		}
	}
	for _, offset := range []uint64{uint64(len(file)), uint64(len(file)) + 1, uint64(len(file)) - 2, math.MaxInt64 - 2, math.MaxUint64} {
		if _, err := c.CRC(offset); !errors.Is(err, ErrTruncated) {
			t.Errorf("at %d: %v", offset, err)
		}
	}
	if crc, err := c.CRC(offsets[0]); crc != crcs[0] || err != nil {
		t.Errorf("after errors: %08x, %v", crc, err)
	}
	for _, n := range []int{len(file) - 1, int(offsets[last]) + 3} {
		if crc, err := open(file[:n]).CRC(offsets[last]); !errors.Is(err, ErrTruncated) {
			t.Errorf("%d bytes: %08x, %v", n, crc, err)
		}
	}
	c = open(file)
	if err := os.Truncate(path, int64(offsets[1])); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CRC(offsets[last]); !errors.Is(err, ErrTruncated) {
		t.Errorf("a file that became shorter: %v", err)
	}
	if _, err := open(file[:3]).Generation(); !errors.Is(err, ErrTruncated) {
		t.Errorf("generation of 3 bytes: %v", err)
	}
}

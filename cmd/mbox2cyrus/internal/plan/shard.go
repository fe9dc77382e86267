package plan

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Shard is one of several parts of a host's users. The zero value is all of them.
type Shard struct{ K, N int } // the Kth of N, from 1

// ParseShard reads "K/N".
func ParseShard(text string) (s Shard, err error) {
	k, n, ok := strings.Cut(text, "/")
	if ok {
		if s.K, err = strconv.Atoi(k); err == nil {
			s.N, err = strconv.Atoi(n)
		}
	}
	if !ok || err != nil || s.K < 1 || s.N < 1 || s.K > s.N {
		return Shard{}, fmt.Errorf("%q is not K/N, the Kth of N parts: 1/3, 2/3 and 3/3 are all", text)
	}
	return s, nil
}

// Has reports whether a user is in the shard. It depends on his login and on N alone, so
// that machines which never heard of one another agree, today and next week.
func (s Shard) Has(login string) bool {
	if s.N == 0 {
		return true
	}
	sum := sha256.Sum256([]byte(login))
	return binary.BigEndian.Uint64(sum[:8])%uint64(s.N) == uint64(s.K-1)
}

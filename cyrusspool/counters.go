package cyrusspool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// CountersModSeq returns the highest modseq that a user's file "counters" notes: of all his
// mailboxes, those that are gone included, where conversations are kept (Cyrus imap/mboxname.c,
// mboxname_buf_to_counters: bytes 8 to 15 in every version, the CRC of all others last).
func CountersModSeq(file []byte) (uint64, error) {
	crc := len(file) - 4
	if crc < 16 || crc32.ChecksumIEEE(file[:crc]) != binary.BigEndian.Uint32(file[crc:]) {
		return 0, errors.New("counters: the file is damaged")
	}
	return binary.BigEndian.Uint64(file[8:]), nil
}

package mbox

import (
	"bytes"
	"strconv"
)

// mozillaStatus is the X-Mozilla-Status field of a message.
type mozillaStatus struct {
	offset int64
	bits   uint64
	found  bool
}

// The bits of X-Mozilla-Status that are flags (Mozilla, nsMsgMessageFlags). A message with
// mozillaExpunged was deleted and waits to be removed: UW shows it, and so it is kept.
var mozillaFlags = [...]struct {
	bit  uint64
	flag Flags
}{{0x0001, Seen}, {0x0002, Answered}, {0x0004, Flagged}, {0x0008, Deleted}}

// parseMozillaStatus reads the value of the field, four hexadecimal digits, at offset.
func parseMozillaStatus(value []byte, offset int64) mozillaStatus {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 16)
	return mozillaStatus{offset: offset, bits: n, found: err == nil}
}

// mozillaFlags gives the message the flags of X-Mozilla-Status, if UW never knew it.
func (r *Reader) mozillaFlags() {
	if !r.mozilla.found || r.hasStatus {
		return
	}
	var flags Flags
	for _, f := range mozillaFlags {
		if r.mozilla.bits&f.bit != 0 {
			flags |= f.flag
		}
	}
	if flags != 0 {
		r.msg.Flags |= flags
		r.find(KindRepairFlags, r.mozilla.offset, "flags taken from X-Mozilla-Status %04x; UW shows none of them", r.mozilla.bits)
	}
}

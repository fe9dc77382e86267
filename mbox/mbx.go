package mbox

import (
	"bytes"
	"io"
	"strconv"
)

// mbxFormat is UW's driver "mbx".
var mbxFormat = fileFormat{name: FormatMBX, matches: isMBX,
	open: func(src io.ReaderAt, size int64, opts Options) Mailbox {
		return newRecordReader(&mbxRecords, src, size, opts, windowSize)
	}}

// mbxRecords: the flags of a record are 8 digits of keywords, 4 of system flags, a hyphen
// and 8 of UID, all hexadecimal (mbx.c mbx_parse).
var mbxRecords = recordFormat{
	eol: "\r\n", junkAfterSize: true, crlf: true,
	shortest:   int64(len(",0;000000000000-00000000\r\n")),
	parseFlags: parseMBXFlags,
	isFlags: func(b []byte) bool {
		return len(b) >= mbxFlags+2 && isMBXFlags(b[:mbxFlags]) && string(b[mbxFlags:mbxFlags+2]) == "\r\n"
	},
	start: readMBXHeader,
}

const (
	mbxMagic      = "*mbx*\r\n"
	mbxHeaderSize = 2048 // mbx.c HDRSIZE
	mbxFlags      = 8 + 4 + 1 + 8
)

// isMBX is mbx.c mbx_isvalid: a header of 2048 bytes that begins with a magic word and
// UIDVALIDITY and last UID in hexadecimal.
func isMBX(head []byte, size int64) bool {
	return size >= mbxHeaderSize && len(head) >= 25 && string(head[:7]) == mbxMagic && isHex(head[7:23]) && string(head[23:25]) == "\r\n"
}

func isHex(b []byte) bool {
	for _, c := range b {
		if !isHexDigit(c) {
			return false
		}
	}
	return true
}

// hexValue is the value of b, up to 16 hexadecimal digits.
func hexValue(b []byte) uint64 {
	n, err := strconv.ParseUint(string(b), 16, 64)
	if err != nil {
		return 0 // callers have looked: there are digits and nothing else
	}
	return n
}

func isMBXFlags(b []byte) bool {
	return len(b) == mbxFlags && isHex(b[:12]) && b[12] == '-' && isHex(b[13:])
}

func parseMBXFlags(b []byte) (f recordFlags, ok bool) {
	if !isMBXFlags(b) {
		return f, false
	}
	system := hexValue(b[8:12])
	f.keywords, f.uid = hexValue(b[:8]), hexValue(b[13:])
	f.flags, f.expunged = systemFlags(system), system&bitExpunged != 0
	if f.uid == 0 {
		f.flags |= Recent
	}
	return f, true
}

// readMBXHeader reads UIDVALIDITY, last UID and keywords: up to 30 lines, of which an empty
// one ends the list. A name that is too long for UW has none.
func readMBXHeader(r *recordReader) (int64, error) {
	header := make([]byte, mbxHeaderSize)
	if err := readFull(r.win.src, header, 0); err != nil {
		return 0, err
	}
	if parts := r.account.enterRange(ReasonFileHeader, r.win.src, 0, mbxHeaderSize); parts != nil && r.opts.Findings != nil {
		r.opts.Findings(lost("", parts[0].from, sum(parts), 0, "the file header, with UIDVALIDITY and the names of keywords", parts))
	}
	validity := hexValue(header[7:15])
	r.uids.last = hexValue(header[15:23])
	switch {
	case validity == 0:
		r.find(KindUIDEpochLost, 7, 0, "the file header has no UIDVALIDITY")
	case validity > maxUIDValidity:
		r.find(KindUIDEpochLost, 7, 0, "UIDVALIDITY cannot be kept: "+validityTooGreat)
	default:
		r.uids.validity = uint32(validity)
	}
	names := header[25:]
	if n := bytes.IndexByte(names, 0); n >= 0 {
		names = names[:n]
	}
	for pos := int64(25); len(r.keywords) < maxKeywords; {
		n := bytes.IndexByte(names, '\r')
		if n <= 0 {
			break
		}
		name := string(names[:n])
		if n > maxKeywordLength {
			r.find(KindKeywordHole, pos, 0, "keyword %.60q has more than %d bytes; UW does not show it", name, maxKeywordLength)
			name = ""
		}
		r.keywords = append(r.keywords, name)
		n = min(n+2, len(names))
		names, pos = names[n:], pos+int64(n)
	}
	return mbxHeaderSize, nil
}

package mbox

import (
	"bytes"
	"io"
)

// tenexFormat and mtxFormat are UW's drivers "tenex" and "mtx": the one has lines that
// end with LF, the other with CR LF.
var (
	tenexFormat = fileFormat{name: FormatTenex, matches: func(head []byte, _ int64) bool { return isTenex(head) },
		open: func(src io.ReaderAt, size int64, opts Options) Mailbox {
			return newRecordReader(&tenexRecords, src, size, opts, windowSize)
		}}
	mtxFormat = fileFormat{name: FormatMTX, matches: func(head []byte, _ int64) bool { return isMTX(head) },
		open: func(src io.ReaderAt, size int64, opts Options) Mailbox {
			return newRecordReader(&mtxRecords, src, size, opts, windowSize)
		}}
)

// The flags of a record are 12 octal digits: 10 of keywords, 2 of system flags (tenex.c
// tenex_parse, mtx.c mtx_parse). The file has neither UIDs nor names of keywords.
var (
	tenexRecords = recordFormat{eol: "\n", shortest: int64(len(",0;000000000000\n")),
		parseFlags: parseTenexFlags, start: nameTenexKeywords,
		isFlags: func(b []byte) bool {
			return len(b) > tenexFlags && isTenexFlags(b[:tenexFlags]) && b[tenexFlags] == '\n'
		}}
	mtxRecords = recordFormat{eol: "\r\n", shortest: int64(len(",0;000000000000\r\n")), crlf: true,
		parseFlags: parseTenexFlags, start: nameTenexKeywords,
		isFlags: func(b []byte) bool {
			return len(b) >= tenexFlags+2 && isTenexFlags(b[:tenexFlags]) && string(b[tenexFlags:tenexFlags+2]) == "\r\n"
		}}
)

const tenexFlags = 12

// isTenex is tenex.c tenex_isvalid: the first line, which ends with a bare LF within 64
// bytes, looks like "dd-mmm-yyyy hh:mm:ss zone,size;flags".
func isTenex(head []byte) bool {
	line := recordHead(head)
	i := bytes.IndexByte(line, '\n')
	return i > 0 && line[i-1] != '\r' && isRecordLine(line[:i])
}

// isMTX is mtx.c mtx_isvalid: the same, but the line ends with CR LF.
func isMTX(head []byte) bool {
	line := recordHead(head)
	i := bytes.IndexByte(line, '\r')
	return i >= 0 && i+1 < len(line) && line[i+1] == '\n' && isRecordLine(line[:i])
}

// recordHead is what UW looks at: 64 bytes, as a string of C.
func recordHead(head []byte) []byte {
	line, _, _ := bytes.Cut(head[:min(len(head), maxRecordLine)], []byte{0})
	return line
}

func isRecordLine(line []byte) bool {
	at := func(i int) byte {
		if i >= len(line) {
			return 0
		}
		return line[i]
	}
	if !(at(2) == '-' && at(6) == '-' || at(1) == '-' && at(5) == '-') || len(line) < 18 {
		return false
	}
	comma := bytes.IndexByte(line[18:], ',')
	if comma < 0 {
		return false
	}
	rest := line[18+comma:]
	return len(rest) > 2 && bytes.IndexByte(rest[2:], ';') >= 0
}

func isTenexFlags(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
	}
	return len(b) == tenexFlags
}

// parseTenexFlags reads them as UW does, which does not mind an 8 or a 9: in the keywords
// it ends the number, and as the last digit it counts as what it is.
func parseTenexFlags(b []byte) (f recordFlags, ok bool) {
	if !isTenexFlags(b) {
		return f, false
	}
	var keywords uint64
	for _, c := range b[:10] {
		if c > '7' {
			break
		}
		keywords = keywords<<3 | uint64(c-'0')
	}
	const bits = 30
	for bit := range bits { // the first keyword is the highest bit
		f.keywords |= keywords >> (bits - 1 - bit) & 1 << bit
	}
	f.flags = systemFlags(uint64(b[10]-'0')*8 + uint64(b[11]-'0'))
	return f, true
}

// nameTenexKeywords takes the names that the user's configuration gives.
func nameTenexKeywords(r *recordReader) (int64, error) {
	r.keywords = append(r.keywords, r.opts.Keywords[:min(len(r.opts.Keywords), maxKeywords)]...)
	if n := len(r.opts.Keywords); n > maxKeywords {
		r.find(KindKeywordsLost, 0, 0, "the user's configuration names %d keywords; the format has %d", n, maxKeywords)
	}
	return 0, nil
}

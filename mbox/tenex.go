package mbox

import "bytes"

// tenexFormat and mtxFormat are UW's drivers "tenex" and "mtx": the one has lines that
// end with LF, the other with CR LF.
var (
	tenexFormat = fileFormat{name: FormatTenex, matches: func(head []byte, _ int64) bool { return isTenex(head) }}
	mtxFormat   = fileFormat{name: FormatMTX, matches: func(head []byte, _ int64) bool { return isMTX(head) }}
)

// isTenex is tenex.c tenex_isvalid: the first line, which ends with a bare LF within 64
// bytes, looks like "dd-mmm-yyyy hh:mm:ss zone,size;flags".
func isTenex(head []byte) bool {
	line := head[:min(len(head), 64)]
	i := bytes.IndexByte(line, '\n')
	return i > 0 && line[i-1] != '\r' && isRecordLine(line[:i])
}

// isMTX is mtx.c mtx_isvalid: the same, but the line ends with CR LF.
func isMTX(head []byte) bool {
	line := head[:min(len(head), 64)]
	i := bytes.IndexByte(line, '\r')
	return i >= 0 && i+1 < len(line) && line[i+1] == '\n' && isRecordLine(line[:i])
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

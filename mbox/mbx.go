package mbox

// mbxFormat is UW's driver "mbx".
var mbxFormat = fileFormat{name: FormatMBX, matches: isMBX}

// isMBX is mbx.c mbx_isvalid: a header of 2048 bytes that begins with a magic word and
// UIDVALIDITY and last UID in hexadecimal.
func isMBX(head []byte, size int64) bool {
	const magic = "*mbx*\r\n"
	if size < 2048 || len(head) < 25 || string(head[:7]) != magic || string(head[23:25]) != "\r\n" {
		return false
	}
	for _, c := range head[7:23] {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}

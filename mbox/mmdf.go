package mbox

import "bytes"

// mmdfFormat is UW's driver "mmdf" (mmdf.c mmdf_isvalid_fd).
var mmdfFormat = fileFormat{name: FormatMMDF, matches: func(head []byte, _ int64) bool {
	return bytes.HasPrefix(head, []byte("\x01\x01\x01\x01\n"))
}}

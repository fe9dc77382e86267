package mbox

import "golang.org/x/sys/unix"

// mxFormat is UW's driver "mx" (mx.c mx_isvalid).
var mxFormat = directoryFormat{name: FormatMX, matches: func(dir *directory) bool {
	return dir.has(".mxindex", unix.S_IFREG)
}}

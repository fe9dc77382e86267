package mbox

import "golang.org/x/sys/unix"

// mixFormat is UW's driver "mix" (mix.c mix_isvalid).
var mixFormat = directoryFormat{name: FormatMix, matches: func(dir *directory) bool {
	return dir.has(".mixmeta", unix.S_IFREG)
}}

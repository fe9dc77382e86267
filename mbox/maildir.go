package mbox

import "golang.org/x/sys/unix"

// maildirFormat is not UW's, but that of a patch which Debian carried for a while. Whether
// such a directory was mail to UW cannot be told, so it is reported, never read.
var maildirFormat = directoryFormat{name: FormatMaildir, matches: func(dir *directory) bool {
	return dir.has("cur", unix.S_IFDIR) && dir.has("new", unix.S_IFDIR) && dir.has("tmp", unix.S_IFDIR)
}}

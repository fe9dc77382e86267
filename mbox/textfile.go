package mbox

import "os"

// TextFile returns the file that the offsets of a [Finding] are in, which has that name
// as its File, if the file is a text that people would look at by lines: in unix, mmdf,
// tenex or mtx format. Else it returns nil. The file belongs to the folder.
func (f *Folder) TextFile(name string) *os.File {
	for _, p := range f.parts {
		if p.dir != nil || name != p.path && (name != "" || len(f.parts) > 1) {
			continue
		}
		switch p.format {
		case FormatUnix, FormatUnixDoubtful, FormatMMDF, FormatTenex, FormatMTX, FormatEmpty:
			return p.file
		}
	}
	return nil
}

package source

import "mbox2cyrus/mbox"

// maxAhead is how much of a folder ReadAhead asks for, in bytes: once it is read, the kernel
// reads ahead by itself.
const maxAhead = 8 << 20

// ReadAhead has the kernel read the beginning of a folder that is to be read soon, and does not
// wait for it. What stands against that is told when the folder is read.
func (s *Source) ReadAhead(u mbox.User, f mbox.File) {
	if s.Limit != nil {
		return // it is for whoever else uses the disk
	}
	folder, err := s.Host.Open(u, f)
	if err != nil {
		return
	}
	folder.ReadAhead(maxAhead)
	_ = folder.Close() // of files that were not read
}

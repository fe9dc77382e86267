// Package retire moves the source folders of users whose mail is proved to be in
// Cyrus into an archive, and back. It is the one thing in the program that writes
// to the source, and it only renames: nothing is copied, changed or deleted, and
// owners, modes and times of files stay.
//
// A file is moved by its name in a directory that is held open and was reached
// through no link of its user's. What a hostile user puts in its place between two
// system calls is noticed by its inode, and moved back. Below the archive every
// directory is opened without following a link, and belongs to root.
//
// In the place of an INBOX in a directory that is not its user's stays an empty
// directory that nobody but root can enter. It is put there by the same system call
// that takes the INBOX away. A delivery that still goes there fails, and is bounced
// or tried again, instead of making a new file that nobody reads. In the place of a
// folder nothing stays, as a home is its user's to write to: a file that appears
// there is told by plan, verify and the next retire.
//
// [Record] in the state directory says, before anything is moved and after, where it
// goes and what its SHA-256 is, so that a run that was cut off can be repeated.
package retire

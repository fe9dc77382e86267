// Package samplehost writes a UW IMAP host into a directory: etc/passwd,
// var/mail and home directories full of mbox folders, and tells exactly what
// UW IMAP would serve from them. Tests, the demo and the benchmark convert
// such a host and compare the result with that [Truth].
//
// What it promises:
//
//   - The same [Options] give the same bytes, owners and times, on any machine.
//   - The truth is computed while the mail is made, from UW's rules (UW IMAP
//     2007f unix.c), and never by reading the files back: a reader's mistake
//     cannot hide in it.
//   - Folders are streamed: memory does not grow with the size of a host.
//   - Every file is created anew; an existing one is an error, never replaced.
//
// It never reads the machine's own users or mail, and everything it writes
// lies below the directory it is given.
package samplehost

// Package mbox reads the mail of a UW IMAP host: its users, their folders, and the
// messages in them, as UW's imapd served them.
//
// # Messages
//
// [Reader] reads a mailbox in unix format (mbox with UW's own headers) or mmdf format in
// one pass, in constant memory, whatever is in it: any bytes end in messages and findings. Messages
// begin and end where UW IMAP 2007f has them; UIDs, UIDVALIDITY, flags and keywords are
// read by its rules, odd ones included; [Message.WriteTo] gives the bytes that a client
// gets from UW. [Recognise] tells the format of a file by its first bytes.
//
// Three things are done better than UW does them, each with a [Finding]:
// real mail is never taken for UW's own data, the marks of a rewrite that was cut short
// are removed (NULs, missing line ends), and a date without a zone is read in the zone
// that the host had at that date. Doubtful UIDs that UW would believe are believed only
// where that can do no harm. What goes further than that and changes what UW showed are
// [Repairs], each a choice.
//
// Every byte of a file is accounted for, see [Reader.Account]. Blocks that the disk does not
// give are read around, see [ErrUnreadable].
//
// The package never writes to the source, never guesses message boundaries from
// Content-Length, never unquotes ">From " unasked, and never gives a UID twice.
//
// # Hosts
//
// [Host] finds users and folders below a source root and opens them without following
// symbolic links.
package mbox

// Package export writes Cyrus mailboxes as UW IMAP would have them: unix mailbox
// files with UW's own headers. It is the way back after go-live, and only reads
// what Cyrus has.
//
// Migrating an export gives the same mailboxes again: UIDs, UIDVALIDITY, UIDNEXT,
// flags, keywords, internal dates and bytes. Every file is read back by the reader
// that migrate uses and compared with Cyrus's index, message by message, before it
// gets its name. The few things that a unix mailbox cannot hold are reported:
//
//   - A body line that UW would take for the beginning of a message is quoted with
//     ">". Other lines that begin "From " are left alone, for UW reads them as they
//     are and never takes a quote off. Mail that came from UW has none of the first.
//   - UW's own header fields in a message (Status, X-UID, …) get "X-Original-" in
//     front, as UW's own APPEND does to them: it would obey and hide them.
//   - A CR that ends no line, a NUL, a line end that is lacking.
//   - Keywords beyond the thirtieth, or of more than 50 bytes.
//
// A user becomes a tree that looks like a home on a UW host: INBOX, which belongs
// into the inbox directory under the user's name, mail/ with the folders, and
// .mailboxlist. A Cyrus mailbox that has messages and mailboxes below it becomes a
// directory NAME and beside it the file NAME.mbox, as UW's files cannot be both.
package export

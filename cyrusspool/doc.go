// Package cyrusspool reads and writes what Cyrus IMAP keeps on disk: imapd.conf,
// mailbox names and the directories they live in, cyrus.header, cyrus.index,
// subscription files, and whole mailboxes ([CreateMailbox]).
//
// # What it promises
//
//   - The bytes are Cyrus's. Every index version from 4 (Cyrus 2.1) to 20 is coded by
//     one table of offsets, and reading then writing real servers' files gives the
//     same bytes back.
//   - Nothing is narrowed in silence. A value that a version has no room for is an
//     error, never a shorter value.
//   - Names are mapped by one total function: any folder name gets a mailbox name that
//     Cyrus accepts, no two get the same, the same input gives the same output, and
//     every change a user would see is reported with its reason.
//   - The mailbox writer is safe to run as root: it works through directory
//     descriptors, follows no symbolic link below the partition, never writes into an
//     existing inode, and its memory does not grow with the size of a message.
//
// # What it never does
//
// It runs no program and speaks no protocol: it does not enter mailboxes in
// mailboxes.db, and it does not compute what Cyrus's reconstruct computes from the
// message text. It knows nothing of where the mail comes from. It does not guess
// what a running Cyrus is doing: the caller must know that the server is stopped, or
// that the mailbox is not in use.
//
// # Words
//
// An internal name is what mailboxes.db held up to Cyrus 3.4 and what dumps, headers
// and directories hold still: "user.joe.Sent", with "^" for a dot inside a component.
// An external name is what Cyrus's admin programs take, "user/joe/Sent" where
// unixhierarchysep is on. A userid is what a user logs in with.
package cyrusspool

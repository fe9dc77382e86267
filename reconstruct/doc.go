// Package reconstruct runs Cyrus IMAP's own programs and reads what they say.
//
// It knows the programs (reconstruct, ctl_mboxlist, mbpath, cyr_info), their
// options and their output in every release from 2.1 to 3.12. It knows no file
// format of the spool and reads no mailbox.
//
// # What it promises
//
//   - No program's exit status is taken as success: Cyrus's reconstruct exits 0
//     for a mailbox that does not exist and for an index that it threw away.
//     Every line that a program prints is read, and a line that is not known to
//     be harmless is a [Complaint].
//   - Memory stays bounded whatever a program prints, and every pipe is drained
//     to its end, so that no program hangs on us.
//   - A program is started with a small, fixed environment, without a shell and
//     with its operands after "--"; started by root it runs as Cyrus's user.
//   - A cancelled context ends the program: SIGTERM, then SIGKILL.
//
// # What it never does
//
//   - It never runs ctl_mboxlist -L -u, reconstruct -f, reconstruct -p without
//     -x, or reconstruct -x on a mailbox that exists: each of these is known to
//     damage mailboxes or mailboxes.db on some release.
//   - It never starts or stops Cyrus. [Programs.Running] only looks.
//
// # Names
//
// Cyrus has two spellings of a mailbox name. Entries of mailboxes.db carry the
// internal name ("user.joe.Sent"). The command line of reconstruct and mbpath
// wants the external name as an administrator sees it ("user/joe/Sent" with
// unixhierarchysep, else "user.joe.Sent"); altnamespace does not apply to it.
// Both spell characters beyond ASCII in modified UTF-7 (RFC 3501 5.1.3). Each
// function says which one it takes.
package reconstruct

// Package cyrustest runs a private Cyrus IMAP server for tests, the demo and
// the benchmarks, and reads mail from it as IMAP and POP3 clients do.
//
// All that a [Server] writes is in one directory of its own. It listens on
// unprivileged ports of 127.0.0.1. It never touches the machine's own Cyrus:
// not /etc/imapd.conf, not its databases, not its processes.
//
// Its readers are second witnesses: they share no code with the packages that
// read mbox files or write the spool.
package cyrustest

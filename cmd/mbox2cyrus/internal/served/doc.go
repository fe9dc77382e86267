// Package served asks Cyrus itself what its clients would see: its own imapd speaks IMAP
// with us on a pipe, before any daemon runs. Nothing listens on a network, no password is
// needed, and nothing of the mail is changed.
//
// imapd runs with a private copy of imapd.conf that is the administrator's but for who may
// log in: it asks a saslauthd, and that is us (auth.go).
package served

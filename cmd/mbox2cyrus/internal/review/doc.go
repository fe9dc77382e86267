// Package review tells what became of one or several hosts, from what their state
// directories hold: as text, JSON, CSV, one HTML page, or a letter to each user.
//
// The ledger says which mailboxes there are and how far each has come; the history says
// what was said of the users when they were last finished. Where the two disagree, the
// worse counts: a user is all right only if both say so.
package review

// Package undo takes mailboxes out of Cyrus again: exactly what the ledger says
// that this program made, and only if nothing touched it since.
//
// [Remember] records, before a mailbox is begun, what undo must know of the time
// before. [Undoer] checks and removes. The steps for a user are in this order,
// each durable before the next and each of no harm when it is repeated:
//
//  1. The ledger says "undoing" of all his mailboxes.
//  2. Cyrus forgets those that were made; an adopted one gets its old entry back.
//  3. Message files, then cache, header and index, then the directory go; of an
//     adopted one, index, header and cache come back first.
//  4. What Cyrus or this program put beside the mailboxes goes: subscriptions that
//     nobody changed, counters, conversations; then directories that were not
//     there before and are empty now.
//  5. The ledger says "undone", which forgets them.
package undo

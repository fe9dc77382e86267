package mbox

// IsSeparator reports whether UW IMAP takes a line, LF included, for the beginning of a
// message wherever a message could begin: in a body, but not in a header. Whoever writes
// a body into a mailbox must quote exactly such lines (as ">From "), and no others: UW
// never takes a quote off again.
func IsSeparator(line []byte) bool {
	_, ok := parseFromLine(line, len(line)) // whatever number of CRs a reader forgives
	if !ok {
		_, ok = parseFromLine(line, 1)
	}
	return ok
}

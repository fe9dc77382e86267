// Package rev1 makes an IMAP client speak IMAP4rev1 to a server that offers more.
package rev1

import (
	"net"
	"sync/atomic"
)

// A Conn hides the capability IMAP4rev2, which Cyrus offers from 3.10 on.
// The client library sends names in UTF-8 as soon as it sees it, which servers
// take only after ENABLE, and reads them as modified UTF-7 after ENABLE too
// (RFC 9051, 6.3.1 and appendix A).
type Conn struct {
	net.Conn
	known   atomic.Bool
	matched int // bytes of rev2 just seen
}

const rev2 = "IMAP4rev2"

// Known says that the client has the capabilities: nothing more is changed.
func (c *Conn) Known() { c.known.Store(true) }

// Read turns IMAP4rev2 into IMAP4rev1, also where it is cut in two.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.known.Load() {
		return n, err
	}
	for i, b := range p[:n] {
		switch b {
		case rev2[c.matched]:
			c.matched++
		case rev2[0]:
			c.matched = 1
		default:
			c.matched = 0
		}
		if c.matched == len(rev2) {
			p[i], c.matched = '1', 0
		}
	}
	return n, err
}

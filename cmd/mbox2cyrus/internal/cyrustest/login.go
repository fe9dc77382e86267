package cyrustest

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/emersion/go-imap/v2/imapclient"
)

// Login returns a client that is logged in, speaking IMAP4rev1 whatever the
// server offers. The caller closes it.
func Login(addr, user, password string) (*imapclient.Client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("imap: %w", err)
	}
	rev1 := &rev1Conn{Conn: conn}
	c := imapclient.New(rev1, nil)
	if err := c.Login(user, password).Wait(); err != nil {
		return nil, errors.Join(fmt.Errorf("imap: login of %s: %w", user, err), c.Close())
	}
	if c.Caps() == nil { // asked for where the login did not bring them
		return nil, errors.Join(fmt.Errorf("imap: %s: no capabilities", user), c.Close())
	}
	rev1.known.Store(true)
	return c, nil
}

// A rev1Conn hides the capability IMAP4rev2, which Cyrus offers from 3.10 on.
// The client library sends names in UTF-8 as soon as it sees it, which servers
// take only after ENABLE, and reads them as modified UTF-7 after ENABLE too
// (RFC 9051, 6.3.1 and appendix A).
type rev1Conn struct {
	net.Conn
	known   atomic.Bool // the capabilities: nothing more is changed
	matched int         // bytes of rev2 just seen
}

const rev2 = "IMAP4rev2"

// Read turns IMAP4rev2 into IMAP4rev1, also where it is cut in two.
func (c *rev1Conn) Read(p []byte) (int, error) {
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

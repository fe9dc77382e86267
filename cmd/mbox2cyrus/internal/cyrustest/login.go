package cyrustest

import (
	"errors"
	"fmt"
	"net"

	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/rev1"
)

// Login returns a client that is logged in, speaking IMAP4rev1 whatever the
// server offers. The caller closes it.
func Login(addr, user, password string) (*imapclient.Client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("imap: %w", err)
	}
	old := &rev1.Conn{Conn: conn}
	c := imapclient.New(old, nil)
	if err := c.Login(user, password).Wait(); err != nil {
		return nil, errors.Join(fmt.Errorf("imap: login of %s: %w", user, err), c.Close())
	}
	if c.Caps() == nil { // asked for where the login did not bring them
		return nil, errors.Join(fmt.Errorf("imap: %s: no capabilities", user), c.Close())
	}
	old.Known()
	return c, nil
}

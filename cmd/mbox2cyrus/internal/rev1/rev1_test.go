package rev1

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
)

type fakeConn struct {
	net.Conn
	r io.Reader
}

func (c fakeConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func TestRev2IsHidden(t *testing.T) {
	const text = "* CAPABILITY IMAP4rev1 IMAP4rev2 IMAPIMAP4rev2x IMAP4rev"
	const want = "* CAPABILITY IMAP4rev1 IMAP4rev1 IMAPIMAP4rev1x IMAP4rev"
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text))} {
		if got, err := io.ReadAll(&Conn{Conn: fakeConn{r: r}}); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	c := &Conn{Conn: fakeConn{r: strings.NewReader(text)}}
	c.Known()
	if got, err := io.ReadAll(c); err != nil || string(got) != text {
		t.Errorf("mail is changed: %q, %v", got, err)
	}
}

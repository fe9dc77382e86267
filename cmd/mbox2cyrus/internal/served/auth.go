package served

import (
	"bufio"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// auth answers as saslauthd does, on a socket in a directory that only Cyrus's user can
// get into: whoever has the password of this run may log in as anybody.
//
// The protocol (Cyrus SASL, saslauthd/ipc_unix.c): login name, password, service and realm,
// each with its length in two bytes, big-endian, before it; the answer likewise, beginning
// with OK or NO.
type auth struct {
	listener *net.UnixListener
	password string
	done     sync.WaitGroup
}

// socketName is what Cyrus SASL looks for in sasl_saslauthd_path; the path of the socket
// itself is taken too.
const socketName = "mux"

// listen makes the socket in dir, for the user uid.
func listen(dir string, uid, gid int) (*auth, error) {
	path := filepath.Join(dir, socketName)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("answering for saslauthd: %w", err)
	}
	a := &auth{listener: l, password: rand.Text()}
	if err = os.Chmod(path, 0o600); err == nil && os.Geteuid() == 0 {
		err = os.Chown(path, uid, gid)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("answering for saslauthd: %w", err), l.Close())
	}
	a.done.Go(a.serve)
	return a, nil
}

func (a *auth) serve() {
	for {
		conn, err := a.listener.Accept()
		if err != nil {
			return // closed
		}
		a.done.Go(func() {
			defer conn.Close() // imapd has its answer, or says that it has none
			a.answer(conn)
		})
	}
}

// answer answers one question. One that cannot be read is denied.
func (a *auth) answer(conn net.Conn) {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return
	}
	reply := "NO"
	if password, err := question(bufio.NewReader(conn)); err == nil && subtle.ConstantTimeCompare([]byte(password), []byte(a.password)) == 1 {
		reply = "OK"
	}
	// Without the answer imapd refuses the login, which is told.
	_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
}

// question reads one and returns the password.
func question(r io.Reader) (password string, err error) {
	var fields [4]string // login, password, service, realm
	for i := range fields {
		var n uint16
		if err := binary.Read(r, binary.BigEndian, &n); err != nil {
			return "", err
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
		fields[i] = string(b)
	}
	return fields[1], nil
}

func (a *auth) close() error {
	err := a.listener.Close()
	a.done.Wait()
	return err
}

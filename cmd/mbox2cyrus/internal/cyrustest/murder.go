package cyrustest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A Murder is several private servers that look like one (Cyrus Murder): back ends hold
// the mail, a mupdate master knows which of them has which mailbox, and the front end, to
// which users connect, passes them on.
//
// They know each other by addresses of 127.0.0.0/8. In a murder, "host:port" may stand
// wherever a host is named (Cyrus imap/backend.c, backend_connect), so that none needs a
// privileged port. The front end then comes to that one port by every protocol: what is
// there by IMAP is not by POP3, but for [Murder.StartPOP3].
type Murder struct {
	Master, Front *Server
	Back          []*Server
}

// As whom the servers of a murder log in to each other.
const (
	mupdateUser    = "cyrus" // at the master, where he must be one of the admins
	proxyUser      = "proxy" // at the back ends: the front end
	murderPassword = "murder"
)

// Nobody listens there, but for servers of other murders.
const murderIMAP, murderMUPDATE = "10143", "13905"

// MurderForTest makes a murder with that many back ends, none of them running, which
// lives as long as the test. opts are the settings of the back ends and the front end.
func MurderForTest(tb testing.TB, backends int, opts Options) *Murder {
	tb.Helper()
	if _, err := os.Stat(filepath.Join(BinDir, "mupdate")); errors.Is(err, os.ErrNotExist) {
		tb.Skipf("no Cyrus Murder can be run here: %v (on Debian the package cyrus-murder has it; make setup installs it)", err)
	}
	// A net of its own, as ports are fixed: they are part of the names.
	net := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(254), rand.IntN(256))
	host := func(n int, port string) string { return fmt.Sprintf("%s%d:%s", net, n, port) }

	master := host(1, murderMUPDATE)
	m := &Murder{Master: ForTest(tb, Options{Name: net + "1", Services: []Service{{"mupdate", "mupdate -m", master}}})}
	member := func(n int, login ...string) Options {
		o := opts
		o.Name = host(n, murderIMAP)
		o.IMAP = o.Name
		o.Extra = slices.Concat(opts.Extra, login, []string{"mupdate_server: " + master, "mupdate_username: " + mupdateUser,
			"mupdate_authname: " + mupdateUser, "mupdate_password: " + murderPassword})
		return o
	}
	front := member(2, "proxy_authname: "+proxyUser, "proxy_password: "+murderPassword)
	front.Services = []Service{{"mupdate", "mupdate", host(2, murderMUPDATE)}}
	m.Front = ForTest(tb, front)
	for i := range backends {
		back := member(3+i, "proxyservers: "+proxyUser)
		back.StartWith = []string{"ctl_mboxlist -m"}
		m.Back = append(m.Back, ForTest(tb, back))
	}
	err := m.Master.AddUser(mupdateUser, murderPassword)
	for _, back := range m.Back {
		err = errors.Join(err, back.AddUser(proxyUser, murderPassword))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// Start starts the master first, since the others connect to it.
func (m *Murder) Start(ctx context.Context) error {
	for _, s := range append([]*Server{m.Master, m.Front}, m.Back...) {
		if err := s.Start(ctx); err != nil {
			return fmt.Errorf("murder: %s: %w", s.Name(), err)
		}
	}
	return nil
}

// StartPOP3 does so with the back ends' pop3d at the port that is in their names, and their
// imapd elsewhere: the front end passes on POP3 alone.
func (m *Murder) StartPOP3(ctx context.Context) error {
	for _, s := range m.Back {
		s.opts.IMAP, s.opts.POP3 = "", s.opts.Name
	}
	return m.Start(ctx)
}

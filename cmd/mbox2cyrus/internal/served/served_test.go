package served

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// ask asks as Cyrus SASL does.
func ask(t *testing.T, path string, fields ...string) string {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var q []byte
	for _, f := range fields {
		q = append(binary.BigEndian.AppendUint16(q, uint16(len(f))), f...)
	}
	if _, err := conn.Write(q); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestOnlyOurPasswordLogsIn: whoever else reaches the socket gets nobody's mail.
func TestOnlyOurPasswordLogsIn(t *testing.T) {
	dir := t.TempDir()
	a, err := listen(dir, os.Geteuid(), os.Getegid())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, socketName)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	if got := ask(t, path, "joe", a.password, "imap", ""); got != "\x00\x02OK" {
		t.Errorf("%q", got)
	}
	for _, fields := range [][]string{
		{"joe", "", "imap", ""}, {"joe", a.password + "x", "imap", ""}, {a.password, "joe", "imap", ""}, {"joe", a.password}, {},
	} {
		if got := ask(t, path, fields...); got != "\x00\x02NO" {
			t.Errorf("%q: %q", fields, got)
		}
	}
	if len(a.password) < 20 {
		t.Errorf("password of %d characters", len(a.password))
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("unix", path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
}

// TestPrivateConf: all settings stay but those about logging in.
func TestPrivateConf(t *testing.T) {
	const theirs = `configdirectory: /var/lib/cyrus
sasl_pwcheck_method: auxprop
SASL_mech_list: GSSAPI
imap_sasl_mech_list: PLAIN
allowplaintext: no
imap_allowplaintext: no
tls_required: 1
autocreate_quota: 0
unixhierarchysep: 1
sievedir: /srv/sieve
odd: ends with \
  more
`
	conf, err := cyrusspool.ParseConfReader(strings.NewReader(theirs), "imapd.conf")
	if err != nil {
		t.Fatal(err)
	}
	private, err := cyrusspool.ParseConfReader(strings.NewReader(string(privateConf(conf, "/run/x/mux"))), "private")
	if err != nil {
		t.Fatal(err) // a key twice, perhaps: Cyrus would not start
	}
	want := map[string]string{"configdirectory": "/var/lib/cyrus", "unixhierarchysep": "1", "sievedir": "/srv/sieve", "odd": "ends with   more",
		"sasl_pwcheck_method": "saslauthd", "sasl_saslauthd_path": "/run/x/mux", "sasl_mech_list": "PLAIN", "allowplaintext": "yes"}
	for _, s := range private.All() {
		if value, _ := private.Get(s.Key); want[s.Key] != value {
			t.Errorf("%s: %q, want %q", s.Key, value, want[s.Key])
		}
		delete(want, s.Key)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestClientName(t *testing.T) {
	for _, tt := range []struct {
		name cyrusspool.Name
		sep  byte
		alt  bool
		want string
	}{
		{"user.joe", '/', true, "INBOX"},
		{"user.joe.work.2003", '/', true, "work/2003"},
		{"user.joe.work.v1^2", '/', false, "INBOX/work/v1.2"},
		{"user.joe.work.v1^2", '.', false, "INBOX.work.v1^2"},
		{"user.j^smith.caf&AOk-", '/', true, "café"},
		{"example.org!user.joe.A &- B", '/', true, "A & B"},
	} {
		s := &Server{sep: tt.sep, altNamespace: tt.alt}
		if got := s.ClientName(tt.name); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestSilentIMAPD: an imapd that does not answer is given up.
func TestSilentIMAPD(t *testing.T) {
	const program = `#!/bin/sh
printf '* OK [CAPABILITY IMAP4rev1] ready\r\n'
while read tag command rest; do
	case $command in
	LOGIN) printf '%s OK [CAPABILITY IMAP4rev1] in\r\n' $tag ;;
	EXAMINE) exec cat 3>&1 >/dev/null ;;
	esac
done
`
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "imapd"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	s := &Server{programs: reconstruct.Programs{Dir: dir}, auth: &auth{password: "x"}, sep: '/', altNamespace: true, patience: time.Second}
	session, err := s.Login(t.Context(), "joe")
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * s.patience) // nothing is expected
	start := time.Now()
	err = session.Read("user.joe", func(Mailbox) {}, func(Message) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "does not go on") || time.Since(start) < s.patience {
		t.Errorf("%v, after %v", err, time.Since(start))
	}
	if err := session.Close(); err == nil {
		t.Error("it is said to have ended well")
	}
}

package reconstruct

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestIMAPDSpeaks(t *testing.T) {
	p := fake(t, map[string]string{"imapd": `echo "$CYRUS_SERVICE $CYRUS_ID $*"; cat`})
	d, err := p.IMAPD(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(d)
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "mbox2cyrus ") || !strings.HasSuffix(line, " -C "+p.Conf+" -X\n") {
		t.Errorf("%q, %v", line, err)
	}
	if _, err := fmt.Fprintln(d, "a NOOP"); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "a NOOP\n" {
		t.Errorf("%q, %v", line, err)
	}
	if err := d.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadString('\n'); err == nil {
		t.Error("a silent imapd is waited for without end")
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

func TestIMAPDThatCannot(t *testing.T) {
	p := fake(t, map[string]string{"imapd": "echo usage: imapd >&2; exit 64"})
	d, err := p.IMAPD(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("error %v", err)
	}
	var exit *ExitError
	if err := d.Close(); !errors.As(err, &exit) || exit.Code != 64 || !strings.Contains(exit.Stderr, "usage") {
		t.Errorf("error %v", err)
	}
	if _, err := fake(t, nil).IMAPD(context.Background()); !errors.Is(err, ErrNoProgram) {
		t.Errorf("error %v", err)
	}
}

func TestIMAPDThatHangs(t *testing.T) {
	defer func(d time.Duration) { termWait = d }(termWait)
	termWait = 200 * time.Millisecond
	p := fake(t, map[string]string{"imapd": "trap '' TERM; echo hello; exec sleep 60 <&- >&- 2>&-"})
	d, err := p.IMAPD(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	var exit *ExitError
	if err := d.Close(); !errors.As(err, &exit) || exit.Signal != syscall.SIGKILL {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("close took %v", took)
	}
}

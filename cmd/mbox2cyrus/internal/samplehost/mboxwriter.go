package samplehost

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-mbox"
)

// writeDelivered writes one message as a delivery agent leaves it, with a
// From_ line in ctime form without a zone. go-mbox does the writing; what it
// does otherwise than UW is set right here:
//
//   - It adds a blank line after text that ends its last line, UW adds none:
//     so the text goes in without its last line end.
//   - It writes the time in UTC, UW reads local time: so the local wall clock
//     goes in as if it were UTC.
//   - It takes any sender, and replaces a zero time by now.
func writeDelivered(w io.Writer, sender string, date time.Time, text []byte) error {
	if strings.ContainsAny(sender, "\r\n\x00") {
		return fmt.Errorf("sender %q does not fit on a From_ line", sender)
	}
	if date.IsZero() {
		return errors.New("message without a date")
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		return errors.New("message text does not end its last line")
	}
	wall := time.Date(date.Year(), date.Month(), date.Day(), date.Hour(), date.Minute(), date.Second(), 0, time.UTC)
	messages := mbox.NewWriter(w)
	message, err := messages.CreateMessage(sender, wall)
	if err != nil {
		return err
	}
	if _, err := message.Write(text[:len(text)-1]); err != nil {
		return err
	}
	return messages.Close()
}

// writeAppended writes one message as UW's APPEND does: the From_ line has a
// numeric zone (UW mail.c, mail_cdate), which go-mbox cannot write.
func writeAppended(w io.Writer, sender string, date time.Time, text []byte) error {
	_, err := fmt.Fprintf(w, "From %s %s\n%s\n", sender, date.Format(time.ANSIC+" -0700"), quoteFrom(text))
	return err
}

// quoteFrom puts ">" before each line that starts with "From ", as UW's
// unix_append_msgs and go-mbox do. Reading never undoes it.
func quoteFrom(text []byte) []byte {
	if bytes.HasPrefix(text, []byte("From ")) {
		text = append([]byte(">"), text...)
	}
	return bytes.ReplaceAll(text, []byte("\nFrom "), []byte("\n>From "))
}

// fileWriter counts what it writes and, for a folder that came from a Windows
// machine, ends lines with CRLF.
type fileWriter struct {
	w    io.Writer
	crlf bool
	size int64
}

func (f *fileWriter) Write(p []byte) (int, error) {
	out := p
	if f.crlf {
		out = bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))
	}
	n, err := f.w.Write(out)
	f.size += int64(n)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

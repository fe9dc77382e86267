package cyrustest

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cyrusspool"
)

// A MailboxView is one mailbox as an IMAP client sees it.
type MailboxView struct {
	// Name is the name in UTF-8 with the server's separator, such as
	// "INBOX" or "work/2003".
	Name string
	// Attrs are the attributes of LIST, sorted.
	Attrs []string
	// Subscribed says that LSUB has it.
	Subscribed bool
	// Selectable is false for a name that only lies above others, or is
	// subscribed to and does not exist. The rest is empty then.
	Selectable           bool
	UIDValidity, UIDNext uint32
	// Messages are in the order of their UIDs.
	Messages []MessageView
}

// A MessageView is one message as an IMAP client sees it.
type MessageView struct {
	UID uint32
	// Flags are system flags and keywords as the server spells them, sorted,
	// without \Recent.
	Flags  []string
	Recent bool
	// InternalDate is the INTERNALDATE with its zone.
	InternalDate time.Time
	// Size is the RFC822.SIZE.
	Size int64
	// SHA256 is of the bytes of BODY[], and Octets is how many came.
	SHA256 [sha256.Size]byte
	Octets int64
	// Text is of what follows the header, as in [Digest.Sums].
	Text [sha256.Size]byte
}

// ReadAll logs in and reads all of a user's mail without changing it (EXAMINE,
// BODY.PEEK[]). Mailboxes come in the order of LIST, then those that are
// subscribed to and do not exist.
func ReadAll(addr, user, password string) ([]MailboxView, error) {
	c, err := Login(addr, user, password)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	views, err := list(c, addr, user, password)
	if err != nil {
		return nil, fmt.Errorf("imap: list of %s: %w", user, err)
	}
	for i := range views {
		if !views[i].Selectable {
			continue
		}
		if err := views[i].read(c); err != nil {
			return nil, fmt.Errorf("imap: mailbox %q of %s: %w", views[i].Name, user, err)
		}
	}
	if err := c.Logout().Wait(); err != nil {
		return nil, fmt.Errorf("imap: logout of %s: %w", user, err)
	}
	return views, nil
}

// ReadMessage returns the bytes of one message.
func ReadMessage(addr, user, password, mailbox string, uid uint32) ([]byte, error) {
	c, err := Login(addr, user, password)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Select(mailbox, &imap.SelectOptions{ReadOnly: true}).Wait(); err != nil {
		return nil, fmt.Errorf("imap: mailbox %q of %s: %w", mailbox, user, err)
	}
	section := &imap.FetchItemBodySection{Peek: true}
	msgs, err := c.Fetch(imap.UIDSetNum(imap.UID(uid)),
		&imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		return nil, fmt.Errorf("imap: mailbox %q of %s: message %d: %w", mailbox, user, uid, err)
	}
	if len(msgs) != 1 {
		return nil, fmt.Errorf("imap: mailbox %q of %s: %d messages with UID %d", mailbox, user, len(msgs), uid)
	}
	return msgs[0].FindBodySection(section), nil
}

// list joins LIST and LIST (SUBSCRIBED), which is what LSUB says too. Servers
// before 2.4 know LSUB only.
func list(c *imapclient.Client, addr, user, password string) ([]MailboxView, error) {
	all, err := c.List("", "*", nil).Collect()
	if err != nil {
		return nil, err
	}
	var subscribed []*imap.ListData
	if c.Caps().Has(imap.CapListExtended) {
		subscribed, err = c.List("", "*", &imap.ListOptions{SelectSubscribed: true}).Collect()
	} else {
		subscribed, err = lsub(addr, user, password)
	}
	if err != nil {
		return nil, err
	}
	var views []MailboxView
	for _, data := range all {
		views = append(views, view(data))
	}
	for _, data := range subscribed {
		i := slices.IndexFunc(views, func(v MailboxView) bool { return v.Name == data.Mailbox })
		if i < 0 {
			i = len(views)
			views = append(views, view(data))
			views[i].Selectable = false
		}
		views[i].Subscribed = true
	}
	return views, nil
}

// lsubLine is "* LSUB (\\HasChildren) "." "INBOX.Sent"".
var lsubLine = regexp.MustCompile(`^\* LSUB \([^)]*\) "(.)" "?([^"]*)"?\r\n$`)

// lsub asks for subscriptions as the client library cannot.
func lsub(addr, user, password string) (subscribed []*imap.ListData, err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	r := bufio.NewReader(conn)
	if _, err := fmt.Fprintf(conn, "a LOGIN %s %s\r\nb LSUB \"\" *\r\nc LOGOUT\r\n", user, password); err != nil {
		return nil, err
	}
	for {
		line, err := r.ReadString('\n')
		switch m := lsubLine.FindStringSubmatch(line); {
		case err != nil:
			return nil, err
		case m != nil:
			name, err := cyrusspool.DecodeUTF7(m[2])
			if err != nil {
				return nil, err
			}
			subscribed = append(subscribed, &imap.ListData{Delim: rune(m[1][0]), Mailbox: name})
		case strings.HasPrefix(line, "c OK"):
			return subscribed, nil
		case !strings.HasPrefix(line, "* ") && !strings.HasPrefix(line, "a OK") && !strings.HasPrefix(line, "b OK"):
			return nil, fmt.Errorf("lsub: %q", line)
		}
	}
}

func view(data *imap.ListData) MailboxView {
	v := MailboxView{Name: data.Mailbox, Selectable: true}
	for _, attr := range data.Attrs {
		v.Attrs = append(v.Attrs, string(attr))
		if attr == imap.MailboxAttrNoSelect || attr == imap.MailboxAttrNonExistent {
			v.Selectable = false
		}
	}
	slices.Sort(v.Attrs)
	return v
}

func (v *MailboxView) read(c *imapclient.Client) error {
	data, err := c.Select(v.Name, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		return err
	}
	v.UIDValidity, v.UIDNext = data.UIDValidity, uint32(data.UIDNext)
	if data.NumMessages == 0 {
		return nil
	}
	var all imap.SeqSet
	all.AddRange(1, data.NumMessages)
	fetch := c.Fetch(all, &imap.FetchOptions{
		UID: true, Flags: true, InternalDate: true, RFC822Size: true,
		BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	})
	for data := fetch.Next(); data != nil; data = fetch.Next() {
		m, err := readMessage(data)
		if err != nil {
			return errors.Join(err, fetch.Close())
		}
		v.Messages = append(v.Messages, m)
	}
	if err := fetch.Close(); err != nil {
		return err
	}
	if n := len(v.Messages); n != int(data.NumMessages) {
		return fmt.Errorf("%d messages came of %d", n, data.NumMessages)
	}
	return nil
}

func readMessage(data *imapclient.FetchMessageData) (MessageView, error) {
	var m MessageView
	var body *Digest
	for item := data.Next(); item != nil; item = data.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			m.UID = uint32(item.UID)
		case imapclient.FetchItemDataFlags:
			for _, flag := range item.Flags {
				if flag == `\Recent` {
					m.Recent = true
				} else {
					m.Flags = append(m.Flags, string(flag))
				}
			}
			slices.Sort(m.Flags)
		case imapclient.FetchItemDataInternalDate:
			m.InternalDate = item.Time
		case imapclient.FetchItemDataRFC822Size:
			m.Size = item.Size
		case imapclient.FetchItemDataBodySection:
			if item.Literal == nil {
				return m, fmt.Errorf("message %d has no body", data.SeqNum)
			}
			body = new(Digest)
			n, err := io.Copy(body, item.Literal)
			if err != nil {
				return m, fmt.Errorf("message %d: %w", data.SeqNum, err)
			}
			m.Octets = n
		}
	}
	if m.UID == 0 || body == nil {
		return m, fmt.Errorf("message %d came without UID or body", data.SeqNum)
	}
	m.SHA256, m.Text = body.Sums()
	return m, nil
}

package served

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cyrusspool"
)

// Mailbox is what EXAMINE says of one.
type Mailbox struct {
	UIDValidity, UIDNext, Exists uint32
}

// Message is one message as a client sees it.
type Message struct {
	UID    uint32
	Flags  []string // system flags and keywords, lower case and sorted, without \Recent
	Date   int64    // INTERNALDATE, seconds since 1970
	Size   int64    // RFC822.SIZE
	SHA1   [20]byte // of the bytes of BODY[]
	Octets int64    // that came of it
}

// ClientName is the name by which its owner's client knows a mailbox: "INBOX",
// "work/2003", "INBOX.work.2003".
func (s *Server) ClientName(name cyrusspool.Name) string {
	folder := name.Folder()
	if len(folder) == 0 {
		return "INBOX"
	}
	for i, c := range folder {
		if s.sep == '/' {
			c = strings.ReplaceAll(c, "^", ".")
		}
		if text, err := cyrusspool.DecodeUTF7(c); err == nil {
			c = text
		}
		folder[i] = c
	}
	client := strings.Join(folder, string(s.sep))
	if !s.altNamespace {
		client = "INBOX" + string(s.sep) + client
	}
	return client
}

// ErrNo is wrapped by the error of Read for a mailbox that imapd will not open.
var ErrNo = errors.New("imapd refuses the mailbox")

// Read opens one of the user's mailboxes without changing it, and calls each for every
// message, in the order of their UIDs.
func (s *Session) Read(name cyrusspool.Name, open func(Mailbox), each func(Message) error) error {
	defer s.conn.expect()()
	client := s.server.ClientName(name)
	data, err := s.client.Select(client, &imap.SelectOptions{ReadOnly: true}).Wait()
	var no *imap.Error
	if errors.As(err, &no) {
		return fmt.Errorf("%w %q: %w", ErrNo, client, err)
	}
	if err != nil {
		return fmt.Errorf("imapd: mailbox %q: %w", client, err)
	}
	open(Mailbox{UIDValidity: data.UIDValidity, UIDNext: uint32(data.UIDNext), Exists: data.NumMessages})
	if data.NumMessages == 0 {
		return nil
	}
	var all imap.UIDSet
	all.AddRange(1, 0) // 1:*
	fetch := s.client.Fetch(all, &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, RFC822Size: true,
		BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
	err = nil
	for data := fetch.Next(); data != nil; data = fetch.Next() {
		m, rerr := message(data)
		if err == nil { // what follows must be read all the same
			if err = rerr; err == nil {
				err = each(m)
			}
		}
	}
	if err := errors.Join(err, fetch.Close()); err != nil {
		return fmt.Errorf("imapd: mailbox %q: %w", client, err)
	}
	return nil
}

// message reads what one FETCH response has.
func message(data *imapclient.FetchMessageData) (m Message, err error) {
	var sum hash.Hash
	for item := data.Next(); item != nil; item = data.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			m.UID = uint32(item.UID)
		case imapclient.FetchItemDataFlags:
			for _, flag := range item.Flags {
				if flag := strings.ToLower(string(flag)); flag != `\recent` {
					m.Flags = append(m.Flags, flag)
				}
			}
			slices.Sort(m.Flags)
		case imapclient.FetchItemDataInternalDate:
			m.Date = item.Time.Unix()
		case imapclient.FetchItemDataRFC822Size:
			m.Size = item.Size
		case imapclient.FetchItemDataBodySection:
			if item.Literal == nil {
				continue
			}
			sum = sha1.New()
			var cerr error
			m.Octets, cerr = io.Copy(sum, item.Literal)
			err = errors.Join(err, cerr)
		}
	}
	if err == nil && (m.UID == 0 || sum == nil) {
		err = fmt.Errorf("message %d came without UID or text", data.SeqNum)
	}
	if sum != nil {
		sum.Sum(m.SHA1[:0])
	}
	return m, err
}

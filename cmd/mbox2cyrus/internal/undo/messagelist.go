package undo

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cyrusspool"
)

// messageUID returns the UID that a message file's name says, 0 for other names.
func messageUID(name string) uint32 {
	digits, ok := strings.CutSuffix(name, ".")
	if !ok {
		return 0
	}
	uid, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || strconv.FormatUint(uid, 10) != digits {
		return 0
	}
	return uint32(uid)
}

// messageList is what a manifest says of message files: 12 bytes for each.
type messageList struct {
	uids  []uint32 // rising
	sizes []int64
}

func listMessages(l *ledger.Ledger, rec ledger.Mailbox) (list *messageList, err error) {
	list = &messageList{uids: make([]uint32, 0, rec.Messages), sizes: make([]int64, 0, rec.Messages)}
	err = l.EachMessage(rec.Manifest, func(m ledger.Message) error {
		list.uids, list.sizes = append(list.uids, m.UID), append(list.sizes, m.Size)
		return nil
	})
	return list, err
}

func (l *messageList) size(uid uint32) (size int64, ok bool) {
	i, ok := slices.BinarySearch(l.uids, uid)
	if !ok {
		return 0, false
	}
	return l.sizes[i], true
}

// listIndex is what cyrus.index says of message files, those of expunged messages
// included.
func listIndex(place cyrusspool.Place) (list *messageList, err error) {
	f, index, err := place.OpenIndex()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	list = &messageList{}
	for {
		r, err := index.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		if r.SystemFlags&cyrusspool.FlagUnlinked == 0 {
			list.uids, list.sizes = append(list.uids, r.UID), append(list.sizes, int64(r.Size))
		}
	}
}

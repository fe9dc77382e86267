package cyrusspool_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mbox2cyrus/cyrusspool"
)

// Fill a mailbox with one message, and read back what Cyrus's reconstruct will find.
func Example() {
	partition, err := os.MkdirTemp("", "spool")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(partition)
	const id = "v9134sazjc9npcy5a9gdzvg5" // from NewUniqueID, or from Cyrus
	if err := fillMailbox(partition, id); err != nil {
		log.Fatal(err)
	}
	if err := printMailbox(filepath.Join(partition, cyrusspool.DirByID(id))); err != nil {
		log.Fatal(err)
	}
	// Output:
	// UIDVALIDITY 1067811111, UIDNEXT 8
	// uid 5: 21 bytes of 2003-11-15T10:01:00Z, seen true, keyword true
	// file 5.: "Subject: x\r\n\r\nHello\r\n"
}

func fillMailbox(partition, id string) (err error) {
	owner := cyrusspool.Owner{UID: -1, FileMode: 0o600, DirMode: 0o700}
	w, err := cyrusspool.CreateMailbox(partition, cyrusspool.DirByID(id), cyrusspool.Version17, owner)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()

	date := time.Date(2003, 11, 15, 10, 1, 0, 0, time.UTC)
	size, guid, err := w.WriteMessage(5, date, strings.NewReader("Subject: x\r\n\r\nHello\r\n"))
	if err != nil {
		return err
	}
	err = w.Add(cyrusspool.Record{
		UID: 5, InternalDate: date.Unix(), Size: uint64(size), GUID: guid, ModSeq: 1,
		SystemFlags: cyrusspool.FlagSeen, UserFlags: [4]uint32{1 << 0},
	})
	if err != nil {
		return err
	}
	return w.Commit(
		cyrusspool.IndexHeader{UIDValidity: 1067811111, LastUID: 7, RecentUID: 7},
		cyrusspool.Header{
			Form: cyrusspool.HeaderDlist, Name: "user.joe", Type: "e", UniqueID: id,
			ACL:   []cyrusspool.ACLEntry{{ID: "joe", Rights: "lrswipkxtecdan"}},
			Flags: []string{"$Forwarded"},
		})
}

func printMailbox(dir string) error {
	f, err := os.Open(filepath.Join(dir, "cyrus.index"))
	if err != nil {
		return err
	}
	defer f.Close()
	index, err := cyrusspool.NewIndexReader(f)
	if err != nil {
		return err
	}
	h := index.Header()
	fmt.Printf("UIDVALIDITY %d, UIDNEXT %d\n", h.UIDValidity, h.LastUID+1)
	for {
		r, err := index.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Printf("uid %d: %d bytes of %s, seen %v, keyword %v\n", r.UID, r.Size,
			time.Unix(r.InternalDate, 0).UTC().Format(time.RFC3339),
			r.SystemFlags&cyrusspool.FlagSeen != 0, r.UserFlags[0]&1 != 0)
		name := fmt.Sprintf("%d.", r.UID)
		message, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		fmt.Printf("file %s: %q\n", name, message)
	}
}

func ExampleNameRules_MapFolders() {
	rules := cyrusspool.NameRules{UnixHierarchySep: true, UsernameToLower: true}
	userid, _ := rules.UserID("J.Smith")
	for _, m := range rules.MapFolders(userid, []string{"INBOX", "lists/go.dev", "100%", "100_", "caf\xe9"}) {
		fmt.Printf("%q -> %s", m.From, m.To.External('/'))
		for _, c := range m.Changes {
			fmt.Printf(" (%s)", c.Kind)
		}
		fmt.Println()
	}
	// Output:
	// "INBOX" -> user/j.smith
	// "lists/go.dev" -> user/j.smith/lists/go.dev
	// "100%" -> user/j.smith/100_-2 (refused) (collision)
	// "100_" -> user/j.smith/100_
	// "caf\xe9" -> user/j.smith/caf&AOk- (encoded-charset)
}

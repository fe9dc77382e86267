package samplehost_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
)

func ExampleWrite() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	host, err := samplehost.Write(filepath.Join(dir, "host"), samplehost.Options{Users: 1, Messages: 100, Plain: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, folder := range host.Users[0].Folders {
		fmt.Printf("%3d %s\n", folder.Count, folder.Path)
	}
	// Output:
	//  30 var/mail/joe
	//  15 home/joe/mail/sent-mail
	//  15 home/joe/mail/saved-messages
	//   2 home/joe/mail/Drafts
	//   5 home/joe/mail/Trash
	//  10 home/joe/mail/work/2003/projects
	//   8 home/joe/mail/work/2004
	//  12 home/joe/mail/lists/imap
	//   3 home/joe/mail/family
}

package mbox_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"mbox2cyrus/mbox"
)

// Every user, folder and byte of a host, and all that is no folder.
func ExampleHost() {
	root, err := os.MkdirTemp("", "uw-host")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)
	for path, content := range map[string]string{
		"etc/passwd":              fmt.Sprintf("alice:x:%d:100::/home/alice:/bin/sh\n", max(500, os.Getuid())),
		"var/mail/alice":          "From bob@example.org Mon Jun  2 10:11:12 2003\nSubject: lunch\n\nNoon?\n\n",
		"home/alice/mail/Drafts":  "",
		"home/alice/mail/todo":    "buy milk\n",
		"home/alice/.mailboxlist": "mail/Drafts\n",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			log.Fatal(err)
		}
	}

	host, err := mbox.OpenHost(mbox.HostOptions{Root: root})
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()
	users, skipped, err := host.Users()
	if err != nil {
		log.Fatal(err)
	}
	for _, user := range users {
		tree, err := host.Folders(user)
		if err != nil {
			log.Fatal(err)
		}
		files := tree.Folders
		if tree.Inbox != nil {
			files = append(files, *tree.Inbox)
		}
		for _, f := range files {
			file, err := host.Open(user, f)
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%s: %s, %d bytes\n", user.Name, f.Name, f.Size)
			file.Close()
		}
		for _, s := range tree.Subscriptions {
			fmt.Printf("%s: subscribed to %s\n", user.Name, s.Name)
		}
		skipped = append(skipped, tree.Skipped...)
	}
	for _, s := range skipped {
		fmt.Printf("%s: %s\n", s.Path, s.Text)
	}
	// Output:
	// alice: Drafts, 0 bytes
	// alice: INBOX, 69 bytes
	// alice: subscribed to Drafts
	// home/alice/mail/todo: 9 bytes, text without From_ lines, no mailbox
}

package reconstruct_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"mbox2cyrus/reconstruct"
)

// The entries of mailboxes.db can be read without a Cyrus at hand, from a dump
// of any release.
func ExampleParseList() {
	dump := "user.joe\t0 default joe\tlrswipkxtecdan\t\n" +
		"user.joe.Entw&APw-rfe\t0 default joe\tlrswipkxtecdan\tkim\tlrs\t\n"
	entries, form, err := reconstruct.ParseList(strings.NewReader(dump))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("form:", form)
	for _, e := range entries {
		fmt.Printf("%s on %s: %v\n", e.Name, e.Partition, e.ACL)
	}
	// Output:
	// form: line
	// user.joe on default: [{joe lrswipkxtecdan}]
	// user.joe.Entw&APw-rfe on default: [{joe lrswipkxtecdan} {kim lrs}]
}

// Rebuild a user's mailboxes and believe what is said, not the exit status.
func ExamplePrograms_Reconstruct() {
	ctx := context.Background()
	cyrus, err := reconstruct.Find("", "/etc/imapd.conf")
	if err != nil {
		log.Fatal(err)
	}
	report, err := cyrus.Reconstruct(ctx, reconstruct.Job{
		Users:  []string{"joe"},
		Expect: []string{"user/joe", "user/joe/Sent"},
	})
	for _, c := range report.Complaints {
		fmt.Println(c)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(report.Mailboxes), "mailboxes rebuilt, clean:", report.Clean())
}

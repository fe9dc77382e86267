package target

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"mbox2cyrus/cyrusspool"
)

// Conversations reports whether Cyrus keeps conversations.
func (c *Cyrus) Conversations() bool { return c.on("conversations") }

// Search reports whether Cyrus keeps an index for searching.
func (c *Cyrus) Search() bool {
	engine := c.settings["search_engine"]
	return engine != "" && engine != "none"
}

// Xapian reports whether that index is Xapian's: in partitions of its own, beside those of mail.
func (c *Cyrus) Xapian() bool { return c.settings["search_engine"] == "xapian" }

// IndexForSearch brings the search index of users up to date
// ([reconstruct.Programs.IndexForSearch]). What squat makes of a mailbox that has a message
// without From, To, Cc, Bcc and Subject, 3.6.1 cannot read: each search finds all messages of
// the mailbox then. So its program reads what it made, which it does to bring it up to date.
func (c *Cyrus) IndexForSearch(ctx context.Context, userids []string) error {
	err := c.Programs.IndexForSearch(ctx, userids)
	if err != nil || c.settings["search_engine"] != "squat" {
		return err
	}
	if err := c.Programs.IndexForSearch(ctx, userids); err != nil {
		return fmt.Errorf("Cyrus made an index that it cannot read: %w", err)
	}
	return nil
}

// stillSo is an error if imapd.conf says something else than when it was read. Cyrus's programs
// read it each time that they are started: they would rebuild a mailbox in another place than
// the one where it was written, and where it is looked at afterwards.
func (c *Cyrus) stillSo() error {
	now, err := cyrusspool.ParseConf(c.IMAPDConf)
	if err != nil {
		return fmt.Errorf("settings, read again: %w", err)
	}
	// In what order they are, and in which file, is all one, as none is there twice.
	values := func(conf *cyrusspool.Conf) map[string]string {
		m := map[string]string{}
		for _, s := range conf.All() {
			m[s.Key] = s.Value
		}
		return m
	}
	if !maps.Equal(values(c.conf), values(now)) {
		return fmt.Errorf("%s was changed while this run went on, which goes by what it was before: put it back as it was, and run again", c.IMAPDConf)
	}
	return nil
}

// on reads a switch of Cyrus's settings; one that this release does not have is off.
func (c *Cyrus) on(key string) bool {
	switch c.settings[key] {
	case "yes", "on", "1", "t", "true":
		return true
	}
	return false
}

// MUPDATE returns the master of the murder that this Cyrus is a back end of, "" if it is
// in none.
func (c *Cyrus) MUPDATE() string {
	master, _ := c.conf.Get("mupdate_server")
	return master
}

// UIDLFormat returns the setting uidl_format, "" where the release has none.
func (c *Cyrus) UIDLFormat() string { return c.settings["uidl_format"] }

// ClientName returns the name of a user's mailbox as his IMAP client spells it, in
// modified UTF-7 (unixhierarchysep, altnamespace).
func (c *Cyrus) ClientName(name cyrusspool.Name) string {
	sep := string(c.Rules.Separator())
	folder := name.Folder()
	if len(folder) == 0 {
		return "INBOX"
	}
	client := strings.Join(folder, sep)
	if sep == "/" {
		client = strings.ReplaceAll(client, "^", ".")
	}
	if !c.on("altnamespace") {
		client = "INBOX" + sep + client
	}
	return client
}

package target

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/scratch"
	"mbox2cyrus/cyrusspool"
)

// sameMessage are the settings of how often a user may have one and the same message: in
// all, not expunged, in one folder (lib/imapoptions, from 3.4: 5000, 100, 10).
var sameMessage = []string{"conversations_max_guidrecords", "conversations_max_guidexists", "conversations_max_guidinfolder"}

// noMatterHowOften is what stands in for these settings.
var noMatterHowOften = strconv.Itoa(math.MaxInt32)

// limitsSame reports whether this Cyrus has such settings.
func (c *Cyrus) limitsSame() bool { return c.settings[sameMessage[0]] != "" }

// BuildConversations puts the messages of a user into conversations
// ([reconstruct.Programs.BuildConversations]), no matter how often he has the same message:
// where that is more often than Cyrus lets it come in, its program ends, without a word, and
// takes in none of what follows, not even of other folders (imap/ctl_conversationsdb.c,
// build_cid_cb, of 3.4 to 3.8; 3.10 passes over the limits too).
func (c *Cyrus) BuildConversations(ctx context.Context, userid string) (err error) {
	if !c.limitsSame() {
		return c.Programs.BuildConversations(ctx, userid)
	}
	conf := slices.DeleteFunc(c.conf.All(), func(s cyrusspool.Setting) bool {
		// Also as one of a program's own: "ctl_conversationsdb_conversations_max_guidexists".
		return slices.ContainsFunc(sameMessage, func(key string) bool { return strings.HasSuffix(s.Key, key) })
	})
	for _, key := range sameMessage {
		conf = append(conf, cyrusspool.Setting{Key: key, Value: noMatterHowOften})
	}
	dir, err := scratch.Make(scratch.Conversations)
	if err != nil {
		return fmt.Errorf("conversations: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Remove()) }()
	p, err := c.configure(dir, conf)
	if err != nil {
		return fmt.Errorf("conversations: %w", err)
	}
	return p.BuildConversations(ctx, userid)
}

// tellConversations is BuildConversations where commands are only told.
func (c *Cyrus) tellConversations(ctx context.Context, userid string) error {
	p := *c.Programs
	if c.limitsSame() {
		// It is a copy with these lines, removed again.
		p.Conf = fmt.Sprintf("%s with %s: %s", c.IMAPDConf, strings.Join(sameMessage, ", "), noMatterHowOften)
	}
	return p.BuildConversations(ctx, userid)
}

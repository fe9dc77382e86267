package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// Ahead says what may be written of a new mailbox that else reconstruct would write, because
// this Cyrus was seen to write the same: then reconstruct finds nothing to change.
type Ahead struct {
	// SyncSums says that this Cyrus's index has the sums that cyrusspool knows.
	SyncSums bool
	// Annotations is the content of the cyrus.annotations that it makes for a mailbox without
	// annotations; nil: none is known.
	Annotations []byte

	version uint32         // of cache records
	zone    *time.Location // of Cyrus's programs; nil: no cache may be written
	why     string         // no cache may be written
}

// NothingAhead leaves all to reconstruct, for that reason.
func NothingAhead(why string) *Ahead { return &Ahead{why: why} }

// CacheParser returns what makes cache records for this Cyrus, a new one for each
// goroutine, or nil if it writes other records.
func (a *Ahead) CacheParser() *cyrusspool.CacheParser {
	if a.zone == nil {
		return nil
	}
	p, err := cyrusspool.NewCacheParser(a.version, a.zone)
	if err != nil {
		return nil // it was one in the probe
	}
	return p
}

// String says whether caches are written for this Cyrus, and why not.
func (a *Ahead) String() string {
	if a.zone == nil {
		return "cyrus.cache is left to reconstruct: " + a.why
	}
	return fmt.Sprintf("cyrus.cache is written: this Cyrus makes the same records (version %d) of %d messages", a.version, len(cacheMessages()))
}

// Ahead has Cyrus make the cache of some messages, in a mailbox in a scratch directory, and
// compares what came of it with ours. That it differs is no error.
func (c *Cyrus) Ahead(ctx context.Context) (*Ahead, error) {
	a := &Ahead{}
	if c.Fresh.IndexVersion < cyrusspool.Version16 {
		a.why = fmt.Sprintf("its index is of version %d", c.Fresh.IndexVersion)
		return a, nil
	}
	return a, c.probe(ctx, func(p *probe) error { return c.learnAhead(ctx, p, a) })
}

// learnAhead gives the probe mailbox messages, has Cyrus rebuild it, and compares what Cyrus made
// of each with what this program would have written. Where they differ, a says why, and nothing
// is written ahead; that is no error.
func (c *Cyrus) learnAhead(ctx context.Context, p *probe, a *Ahead) (err error) {
	place := p.place(c)
	header, err := place.ReadHeader()
	if err != nil {
		return err
	}
	header.Flags = []string{"NonJunk", "$Label1"}
	messages := cacheMessages()
	if err := fillProbe(place, c.Fresh, *header, messages); err != nil {
		return err
	}
	if _, err := p.programs.Reconstruct(ctx, reconstruct.Job{Users: []string{probeUser}}); err != nil {
		return err
	}
	if err := a.learnRest(p.conf, place, header.Flags); err != nil {
		return err
	}
	zone, err := systemZone()
	if err != nil {
		return err
	}
	index, records, err := place.OpenIndex()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, index.Close()) }()
	cache, err := cyrusspool.OpenFile(place.Roots.Cache, place.CacheFile())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	for i, m := range messages {
		r, err := records.Next()
		if err == io.EOF || err == nil && r.CacheOffset == 0 {
			a.why = "it made none"
			return nil
		}
		if err != nil {
			return err
		}
		parser, err := cyrusspool.NewCacheParser(r.CacheVersion, zone)
		if err != nil {
			a.why = err.Error()
			return nil
		}
		theirs, err := cyrusspool.ReadCacheRecord(cache, r.CacheOffset)
		if err != nil {
			return err
		}
		d, ours, known := parser.Parse(m, r.InternalDate)
		derived := cyrusspool.Derived{SentDate: r.SentDate, GMTime: r.GMTime, HeaderSize: r.HeaderSize, Version: r.CacheVersion, CRC: r.CacheCRC}
		if !known || d != derived || !bytes.Equal(ours, theirs) {
			a.why = fmt.Sprintf("its record of message %d is another", i+1)
			return nil
		}
		a.version = r.CacheVersion
	}
	a.zone = zone
	return nil
}

// maxAnnotations bounds what is read of a cyrus.annotations without annotations.
const maxAnnotations = 64 << 10

// learnRest looks whether what else there is of the probe mailbox is as we would have made it.
func (a *Ahead) learnRest(conf *cyrusspool.Conf, place cyrusspool.Place, keywords []string) (err error) {
	index, records, err := place.OpenIndex()
	if err != nil {
		return err
	}
	a.SyncSums, err = cyrusspool.CheckSyncSums(records, keywords)
	if err := errors.Join(err, index.Close()); err != nil {
		return err
	}
	if conf.AnnotationsElsewhere() {
		return nil
	}
	f, err := cyrusspool.OpenFile(place.Roots.Data, place.AnnotationsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	file, err := io.ReadAll(io.LimitReader(f, maxAnnotations))
	if err == nil && cyrusspool.IsEmptyAnnotations(file) {
		a.Annotations = file
	}
	return errors.Join(err, f.Close())
}

// fillProbe writes messages into the probe mailbox.
func fillProbe(place cyrusspool.Place, fresh Fresh, header cyrusspool.Header, messages [][]byte) (err error) {
	w, err := place.Create(fresh.IndexVersion, fresh.Owner)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	date := time.Unix(1057053600, 0)
	for i, m := range messages {
		uid := uint32(i + 1)
		size, guid, err := w.WriteMessage(uid, date, bytes.NewReader(m))
		if err != nil {
			return err
		}
		r := cyrusspool.Record{UID: uid, InternalDate: date.Unix(), Size: uint64(size), GUID: guid, ModSeq: 1, CreatedModSeq: 1}
		r.SystemFlags = []uint32{cyrusspool.FlagSeen, cyrusspool.FlagAnswered | cyrusspool.FlagDeleted, cyrusspool.FlagFlagged, cyrusspool.FlagDraft, 0}[i%5]
		r.UserFlags[0] = uint32(i) & 3 // none, each and both of the keywords
		if err := w.Add(r); err != nil {
			return err
		}
	}
	return w.Commit(cyrusspool.IndexHeader{UIDValidity: 1}, header)
}

// systemZone is the zone of a program that is run without TZ, as Cyrus's are
// (tzset(3)).
func systemZone() (*time.Location, error) {
	data, err := os.ReadFile("/etc/localtime")
	if errors.Is(err, fs.ErrNotExist) {
		return time.UTC, nil
	}
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocationFromTZData("localtime", data)
	if err != nil {
		return nil, fmt.Errorf("/etc/localtime: %w", err)
	}
	return zone, nil
}

// cacheMessages are messages that between them have what cache records depend on.
func cacheMessages() [][]byte {
	var messages [][]byte
	for _, text := range []string{
		"Return-Path: <joe@example.org>\nReceived: from a by b; Tue, 1 Jul 2003 12:00:00 +0200\n" +
			"From: \"Bloggs, Joe\" <Joe.Bloggs@Example.ORG>\nTo: kim@example.net (Kim), Undisclosed: a@b, c@d;, root\n" +
			"Cc: x@y.example\nBcc: z@y.example\nReply-To: list@example.org\nSender: owner@example.org\n" +
			"Subject: Fwd: folded\n\tand 100% \"quoted\" \\ text\nDate: Tue,  1 Jul 2003 01:00:00 -0700 (PDT)\n" +
			"Message-ID: <1@example.org>\nIn-Reply-To: <0@example.org>\nReferences: <0@example.org>\n <2@example.org>\n" +
			"X-Mailer: a mailer\nX-Unknown: not kept\nPriority: normal\nMIME-Version: 1.0\nStatus: RO\n\nText.\n\n-- \nJoe\n",
		"From: joe@example.org\nDate: 31 Dec 99 23:59 EST\nSubject:\nContent-Type: Text/Plain; charset=ISO-8859-1; format=flowed\n" +
			"Content-Transfer-Encoding: quoted-printable\nContent-Language: de\n\nGr=FC=DFe =\naus  \nWien=20\n",
		"From: joe@example.org\nDate: Sun, 29 Feb 2004 12:00:00 +0000\nSubject: parts\nMIME-Version: 1.0\n" +
			"Content-Type: multipart/mixed; boundary=\"outer\"\n\npreamble\n--outer\nContent-Type: multipart/alternative; boundary=in\n\n" +
			"--in\n\nplain\n--in\nContent-Type: text/html; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\nContent-ID: <a@b>\n\n" +
			"PGI+aGFsbG88L2I+\nCg==\n--in--\n--outer\nContent-Type: message/rfc822\nContent-Description: the original\n\n" +
			"From: kim@example.net\nSubject: inner\nDate: Sat, 28 Feb 2004 12:00:00 GMT\n\ninner text\n\n--outerx\n--outer\n" +
			"Content-Type: application/octet-stream; name=a.bin\nContent-Transfer-Encoding: BASE64\n" +
			"Content-Disposition: attachment; filename*=utf-8''a%20b.bin; size=3\nContent-MD5: XrY7u+Ae7tCTyyK7j1rNww==\nContent-Location: a/b\n\nAAEC\n--outer--\nepilogue\n",
		// Cut off in a part of a part, and before the first part.
		"Date: 1 Jul 2003 12:00:00 GMT\nContent-Type: multipart/mixed; boundary=outer\n\npreamble\n--outer\n\n" +
			"first\n--outer\nContent-Type: multipart/alternative; boundary=in\n\n--in\n\nplain\n--in\nContent-Type: text/html\n\nhalf a\n",
		"Date: 1 Jul 2003 12:00:00 GMT\nContent-Type: multipart/mixed; boundary=outer\n\n\n",
		// As large as a header, and as deep as parts, may be: Cyrus may have lower limits.
		"Date: 1 Jul 2003 12:00:00 GMT\n" + strings.Repeat("X-Mailer: a\n", cyrusspool.MaxCachedLines-3) + "Subject: last\n\n",
		deep(cyrusspool.MaxCachedDepth),
	} {
		messages = append(messages, []byte(strings.ReplaceAll(text, "\n", "\r\n")))
	}
	return messages
}

// deep is a message of multiparts in one another.
func deep(depth int) string {
	text := "Content-Type: text/plain\n\ntext\n"
	for n := range depth {
		text = fmt.Sprintf("Content-Type: multipart/mixed; boundary=x%dx\n\n--x%[1]dx\n%s--x%[1]dx--\n", n, text)
	}
	return "Date: 1 Jul 2003 12:00:00 GMT\n" + text
}

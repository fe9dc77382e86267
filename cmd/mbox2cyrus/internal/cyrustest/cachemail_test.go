package cyrustest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
)

// A mailMaker makes messages that are mostly well formed, each in another way, with what
// decides how Cyrus reads them: quotes, comments, folds, encodings, boundaries.
type mailMaker struct {
	*rand.Rand
	odd int // of a hundred choices
}

func pick[T any](g mailMaker, from []T) T { return from[g.IntN(len(from))] }

// of takes one of the first few, which are ordinary, or sometimes any.
func (g mailMaker) of(from []string, ordinary int) string {
	if g.IntN(100) < g.odd {
		return pick(g, from)
	}
	return from[g.IntN(ordinary)]
}

var (
	mailWords = strings.Fields("a Joe Bloggs hello re: world 1 x-y o'neil a.b R&D 100% {5} ~ ! # $ + = == =? ?= _ . - -- * ' | ^ \u00fc \u20ac NIL nil \"q\" <z>")

	mailAddresses = []string{"joe@example.org", "Joe Bloggs <joe@example.org>", "\"Bloggs, Joe\" <joe@Example.ORG>", "joe@example.org (Joe)",
		"joe (a comment) @ example.org", "<joe@example.org>", "joe", "<joe>", "<>", "\"a \\\"b\\\" c\" <q@r>", "Joe <joe@a.b> (comment)",
		"Undisclosed recipients:;", "group: a@b, \"c\" <d@e>;", "group: x@y", "=?utf-8?Q?J=C3=B6?= <j@x>", "\"=?iso-8859-1?B?SvZl?=\" <j@x>",
		"a@b.c.", "a@.b", "a@b..c", "a@[127.0.0.1]", "a@b c@d", "@", "a@", "@a:b@c", "<@a:b@c>", "a b c", "a;b", "J\u00f6 <j@x>", "j@x (J\u00f6)",
		"\"unbalanced <a@b>", "a(b", "a@b (c(d)e)", "a@b (c\\)d)", "a@b_c.d", "a%b@c", "a@b,,c@d", ", a@b", "a@b (c) (d)", "\"tab\there\" <t@t>",
		"very" + strings.Repeat("long", 300) + " <l@l>", "a <b@c> d <e@f>", "MAILER-DAEMON@a (Mail Delivery System)", "'x' <y@z>", "(c) a@b", "a\\b@c", "Joe.Q <j@q>"}

	mailDates = []string{"Tue, 1 Jul 2003 12:00:00 +0200", "Tue,  1 Jul 2003 12:00:00 -0700 (PDT)", "1 Jul 2003 12:00 GMT", "1 Jul 03 12:00:00 EST",
		"31 Dec 1999 23:59:59 -1200", "29 Feb 2004 0:00:00 +0000", "29 Feb 2003 00:00:00 +0000", "Tue, 01 Jul 2003 12:00:00", "Tue, 1 Jul 2003",
		"Tue,1 Jul 2003 12:00:00 +0530", "Tue, 1 Jul 103 12:00:00 +0000", "Tue, 1 Jul 2003 12:00:00 CEST", "Tue, 1 Jul 2003 12:00:00 MET DST",
		"Tue Jul  1 12:00:00 2003", "2003-07-01 12:00:00", "Tue, 1-Jul-2003 12:00:00 +0000", "Tue, 1 July 2003 12:00:00 +0000", "1 Jan 1970 00:00:00 +0000",
		"1 Jan 1970 01:00:00 +0200", "31 Dec 2037 23:59:59 +0000", "1 Jan 2040 00:00:00 +0000", "Tue, 1 Jul 2003 25:00:00 +0000", "Tue, 1 Jul 2003 12:60:00 +0000",
		"Tue, 1 Jul 2003 12:00:60 +0000", "Tue, 1 jul 2003 12:00:00 z", "", " ", "Xyz, 1 Jul 2003 12:00:00 UT", "Tuesday, 1 Jul 2003 12:00:00 +0000",
		"Tue, 1 Jul 2003 12:00:00 +02:00", "Tue, 1 Jul 2003 12.00.00 +0000", "Tue, 1 Jul 2003\t12:00:00 +0200", "1 Jul 70 00:00:00 GMT", "1 Jul 69 00:00:00 GMT",
		"Tue, 1 Jul 2003 12:00:00 \"GMT\"", "Tue, 1 Jul 2003 12:00:00 +0200 x", "Tue, 1 Jul 2003 12:00:00 +020", "Tue, 001 Jul 2003 12:00:00 +0000",
		"Sun, 30 Mar 2003 02:30:00 +0100", "Sun, 26 Oct 2003 00:30:00 +0100", "Tue, 1 Jul 2003 1:2:3 +0000", "Tue, 1 Jul 2003 12:00:00 PST8PDT"}

	mailCharsets = []string{"us-ascii", "US-ASCII", "\"utf-8\"", "UTF-8", "iso-8859-1", "ISO-8859-15", "windows-1252", "koi8-r", "x-unknown-thing", "", "\"\"", "iso-8859-2"}

	mailTypes = []string{"text/plain", "Text/HTML", "text/x-sh", "application/octet-stream", "image/gif", "message/delivery-status", "message/partial",
		"text", "text/", "/plain", "text /plain", "text/ plain", "text/plain (comment)", "text/plain;", "text/plain; ;", "audio/*", "message/external-body", "TEXT/plain ; format=flowed"}

	mailParams = []string{"name=a.txt", "name=\"a b.txt\"", "format=flowed", "name*=utf-8''a%20b", "name=\"a\\\"b\"", "name*0=a; name*1=b", "x=a b", "x=\"\"", "x=",
		"x", "=y", "x=a(b)", "NAME=\"\u00fc\"", "name=\u00fc", "x=a/b:c", "x='a'", "charset*=us-ascii", "x=\"a;b\"", "x=a;", "x =y", "x= y", "name=\"=?utf-8?Q?a?=\""}

	mailEncodings = []string{"7bit", "8bit", "binary", "quoted-printable", "base64", "BASE64", "Quoted-Printable", "x-uuencode", "7-bit", "", "base64 (c)", "base64;", "\"base64\""}

	mailDispositions = []string{"inline", "attachment", "attachment; filename=a.txt", "attachment; filename=\"a b\"; size=5", "ATTACHMENT;filename*=utf-8''x", "", "attachment x", "attachment;", "inline; filename=\"x"}

	mailSubjects = []string{"", "hello", "=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "=?ISO-8859-1?Q?Gr=FC=DFe_aus_K=F6ln?=", "=?utf-8?B?UmXDp3UgZGUgcGFpZW1lbnQ=?=",
		"=?utf-8?Q?a?= =?utf-8?Q?b?=", "=?utf-8?Q?a?= x =?utf-8?Q?b?=", "x =?utf-8?B?w7w=?= y", "=?utf-8?Q?=C3?= =?utf-8?Q?=BC?=", "=?utf-8?B?w7?=", "=?utf-8?X?a?=",
		"=?none-such?Q?a?=", "=?utf-8?Q?a b?=", "=?utf-8?Q?a?b?=", "=?", "?=", "a=?b", "=?utf-8?Q??=", "=?us-ascii?Q?a=20?=", "=?us-ascii?Q?a_?=", "=?utf-8*en?Q?a?=",
		"=?utf-8?q?=E2=82=AC?=", "=?windows-1251?B?z/Do4uXy?=", "=?koi8-r?B?8NLJ18XU?=", "=?iso-8859-2?Q?=B1?=", "=?utf-8?Q?=3D=3F?=", "=?utf-8?Q?=0D=0A?=", "=?utf-8?Q?a=?=",
		"=?utf-8?Q?a?==?utf-8?Q?b?=", "=?utf-8?B?YQ==?==?utf-8?B?Yg==?=", "=?utf-8?B?YQ?=", "=?utf-8?Q?a?=x", "\u00fc\u20ac", "tab\tin", "trailing  ", "100% \"quoted\" \\", "=?utf-8?Q?=F0=9F=98=80?=",
		"=?iso-8859-15?Q?=A4?=", "=?windows-1252?Q?=80?=", "=?UTF-8?Q?=E2=80=93?= =?UTF-8?B?4oCT?=", "=?utf-8?Q?a?=\t=?iso-8859-1?Q?=FC?=", "=?utf-8?Q?=EF=BF=BD?=", strings.Repeat("long ", 230)}

	mailFields = []string{"X-Mailer", "X-Unknown", "Received", "References", "Priority", "List-Id", "Return-Path", "Delivered-To", "X-Spam-Score", "Resent-From",
		"A-field-with-a-name-of-31-bytes", "A-field-with-a-name-of-32-bytes-", "Content-Foo", "Mime-Version", "DKIM-Signature", "x-me-message-id", "Archived-At", "Subject ", "X"}
)

// message returns a message with CRLF at every line end.
func (g mailMaker) message() []byte {
	var b bytes.Buffer
	g.part(&b, 0, true)
	m := b.Bytes()
	for g.IntN(200) < g.odd {
		m = g.damage(m)
	}
	// As the mailbox reader gives it.
	m = bytes.ReplaceAll(m, []byte{0}, []byte{0x80})
	m = bytes.ReplaceAll(m, []byte("\r\n"), []byte("\n"))
	if g.IntN(200) >= g.odd {
		m = bytes.ReplaceAll(m, []byte("\r"), nil)
	}
	m = bytes.ReplaceAll(m, []byte("\n"), []byte("\r\n"))
	if !bytes.HasSuffix(m, []byte("\n")) {
		m = append(m, "\r\n"...)
	}
	return m
}

// damage changes a few bytes.
func (g mailMaker) damage(m []byte) []byte {
	const bytesOfInterest = "\"\\()<>@,;:=?*%'/[]. \t\n-_{}\x00\x7f\x80\xff\r"
	i := g.IntN(len(m) + 1)
	j := min(len(m), i+g.IntN(12))
	out := append([]byte(nil), m[:i]...)
	switch g.IntN(5) {
	case 0:
		out = append(out, bytesOfInterest[g.IntN(len(bytesOfInterest))])
		return append(out, m[i:]...)
	case 1:
		out = append(out, bytesOfInterest[g.IntN(len(bytesOfInterest))])
		return append(out, m[min(len(m), i+1):]...)
	case 2:
		return append(out, m[j:]...)
	case 3:
		out = append(out, m[i:j]...)
		return append(out, m[i:]...)
	}
	out = append(out, "\n "...)
	return append(out, m[i:]...)
}

func (g mailMaker) part(b *bytes.Buffer, depth int, message bool) {
	field := func(name string, value string) {
		if g.IntN(10) == 0 {
			name = strings.ToUpper(name)
		}
		space := pick(g, []string{" ", " ", " ", " ", " ", "", "\t", "  ", "\n "})
		if g.IntN(6) == 0 {
			value = strings.Replace(value, " ", "\n\t", 1)
		}
		fmt.Fprintf(b, "%s:%s%s\n", name, space, value)
	}
	addresses := func() string {
		var list []string
		for range 1 + g.IntN(3) {
			list = append(list, g.of(mailAddresses, 16))
		}
		return strings.Join(list, pick(g, []string{", ", ",", ",\n\t"}))
	}
	words := func() string {
		var list []string
		for range g.IntN(5) {
			list = append(list, pick(g, mailWords))
		}
		return strings.Join(list, " ")
	}
	if message {
		if g.IntN(12) > 0 {
			field("Date", g.of(mailDates, 6))
		}
		for _, name := range []string{"From", "To", "Cc", "Bcc", "Sender", "Reply-To", "To"} {
			if g.IntN(3) == 0 {
				field(name, addresses())
			}
		}
		if g.IntN(8) > 0 {
			field("Subject", g.of(mailSubjects, 8))
		}
		for _, name := range []string{"Message-ID", "In-Reply-To"} {
			if g.IntN(2) == 0 {
				field(name, "<"+words()+"@x>")
			}
		}
		for range g.IntN(5) {
			field(pick(g, mailFields), words())
		}
		if g.IntN(200) < g.odd {
			fmt.Fprintln(b, pick(g, []string{"no field at all", " continues nothing", "From joe Tue Jul  1 12:00:00 2003", ": empty", "a b: c"}))
		}
	}
	for _, name := range []string{"Content-ID", "Content-Description", "Content-MD5", "Content-Location"} {
		if g.IntN(8) == 0 {
			field(name, words())
		}
	}
	if g.IntN(12) == 0 {
		field("Content-Language", g.of([]string{"de", "en-US", "en, de", "", "x_y", "(c) de"}, 2))
	}
	if g.IntN(4) == 0 {
		field("Content-Disposition", g.of(mailDispositions, 5))
	}
	switch n := g.IntN(12); {
	case n < 4 && depth < 4:
		g.multipart(b, depth, field)
	case n == 4 && depth < 4:
		field("Content-Type", "message/rfc822")
		if g.IntN(5) == 0 {
			field("Content-Transfer-Encoding", g.of(mailEncodings, 3))
		}
		b.WriteByte('\n')
		g.part(b, depth+1, true)
	default:
		g.leaf(b, field)
	}
}

func (g mailMaker) multipart(b *bytes.Buffer, depth int, field func(name, value string)) {
	boundary := pick(g, []string{"b", "bb", "=_next", "----=_Part_1", "a b", "x-", "--", "b" + fmt.Sprint(depth), "=_" + fmt.Sprint(g.IntN(1000)), strings.Repeat("z", 70)})
	quoted := boundary
	if g.IntN(4) > 0 || strings.ContainsAny(boundary, "=? ") {
		quoted = "\"" + boundary + "\""
	}
	value := "multipart/" + g.of([]string{"mixed", "alternative", "related", "Mixed", "report; report-type=x", "digest"}, 5) + "; boundary=" + quoted
	if g.IntN(200) < g.odd {
		value = pick(g, []string{"multipart/mixed", "multipart/mixed; boundary=\"\"", "multipart/mixed; boundary*=us-ascii''b; x=y"})
	}
	field("Content-Type", value)
	if g.IntN(5) == 0 {
		field("Content-Transfer-Encoding", g.of(mailEncodings, 3))
	}
	b.WriteByte('\n')
	b.WriteString(pick(g, []string{"", "", "preamble\n", "\n", "--\n", "--bx\n"}))
	for range 1 + g.IntN(3) {
		fmt.Fprintf(b, "--%s%s\n", boundary, g.of([]string{"", "", "", "", "", "", " ", "\t ", "x", "-"}, 8))
		if g.IntN(8) == 0 {
			b.WriteString(g.of([]string{"\n", "\n\n", ""}, 2))
			continue
		}
		g.part(b, depth+1, false)
		b.WriteString(pick(g, []string{"\n", "\n", "\n", "", "\n\n"}))
	}
	if g.IntN(200) >= g.odd {
		fmt.Fprintf(b, "--%s--%s", boundary, g.of([]string{"\n", "\n", "\n", "\nepilogue\n", "", " \n", "x\n"}, 4))
	}
}

func (g mailMaker) leaf(b *bytes.Buffer, field func(name, value string)) {
	if g.IntN(5) > 0 {
		value := g.of(mailTypes, 7)
		if g.IntN(2) == 0 {
			value += "; charset=" + g.of(mailCharsets, 8)
		}
		for g.IntN(3) == 0 {
			value += pick(g, []string{"; ", ";", ";\n ", " ; "}) + g.of(mailParams, 4)
		}
		field("Content-Type", value)
	}
	if g.IntN(3) > 0 {
		field("Content-Transfer-Encoding", g.of(mailEncodings, 7))
	}
	b.WriteByte('\n')
	for range g.IntN(6) {
		switch g.IntN(9) {
		case 0:
			raw := make([]byte, g.IntN(80))
			for i := range raw {
				raw[i] = byte(g.Uint32())
			}
			fmt.Fprintln(b, base64.StdEncoding.EncodeToString(raw))
		case 1:
			fmt.Fprintln(b, pick(g, []string{"YQ==", "YQ=", "YQ", "Y", "=", "Y Q = =", "YW-x", "YWJj*ZGVm", "YQ==YWJj", "====", "YWJ", "\u00fcYWJj"}))
		case 2:
			fmt.Fprintln(b, pick(g, []string{"a=20b", "a=\u00fc", "soft=", "soft= ", "=", "==", "=4", "=zz", "=3d=3D", "trailing \t ", "a=\t", "=0D=0A", "=00", "x_y", strings.Repeat("q", 1100), strings.Repeat("=41", 330)}))
		case 3:
			fmt.Fprintln(b, "--"+g.of([]string{"", " ", "not a boundary", "b", "bb", "b--", "=_next"}, 3))
		case 4:
			b.WriteByte('\n')
		case 5:
			fmt.Fprintln(b, "8-bit: \u00fc\xff\x80")
		default:
			for range g.IntN(10) {
				b.WriteString(pick(g, mailWords) + " ")
			}
			b.WriteByte('\n')
		}
	}
}

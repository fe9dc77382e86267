package samplehost

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// Mean sizes in octets of what [mailer] makes at scale 1; TestMeanSize holds
// them to the truth. They translate Options.Bytes.
const (
	meanMessage = 12_200
	meanHeader  = 1_000
)

// mail is one message before a mailbox file gets hold of it: line ends are
// LF, the header is without its closing blank line, the body ends in LF or is
// empty.
type mail struct {
	sender       string // envelope sender, for the From_ line
	date         time.Time
	header, body []byte
}

// mailer makes mail of the kind that people had around 2003. The slices of a
// mail are valid until the next one is made.
type mailer struct {
	rng          *rand.Rand
	texts        *texts
	scale        float64 // on the length of bodies
	header, body []byte
}

// next makes a message that user received, or sent if outgoing, at date.
func (m *mailer) next(user string, outgoing bool, date time.Time) mail {
	m.header, m.body = m.header[:0], m.body[:0]
	self := user + "@example.org"
	other := pick(m.rng, correspondents)
	from, to := other, self
	if outgoing {
		from, to = self, other
	} else {
		m.trace(from, to, date)
	}
	id := fmt.Sprintf("%d.%x@%s", date.Unix(), m.rng.Uint64(), domain(from))
	m.field("Message-ID: <%s>", id)
	m.field("Date: %s", date.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	m.field("From: %s", m.mailbox(from))
	m.field("To: %s", m.mailbox(to))
	m.copies()
	m.subject()
	m.references(date)
	m.field("X-Mailer: %s", pick(m.rng, mailPrograms))
	m.content()
	m.curiosities()
	return mail{sender: from, date: date, header: m.header, body: m.body}
}

var (
	correspondents = []string{
		"alerts@monitor.example.net", "bounces+owner-list@lists.example.com", "carla@physics.example.edu",
		"dean.office@example.edu", "e.n.gineer@example.com", "father@example.net", "help-desk@example.org",
		"owner-imap@lists.example.edu", "root@host.example.org", "sales@shop.example.com",
	}
	mailPrograms = []string{
		"Pine 4.58", "Mozilla 1.4", "Apple Mail (2.553)", "Microsoft Outlook Express 6.00.2800.1158",
		"KMail 1.5.3", "Mutt 1.4i", "Evolution 1.4.5",
	}
	encodedSubjects = []string{
		"=?ISO-8859-1?Q?Gr=FC=DFe_aus_K=F6ln?=", "=?utf-8?B?UmXDp3UgZGUgcGFpZW1lbnQ=?=",
		"=?iso-8859-1?q?d=E9j=E0?= vu", "caf\xe9 at noon?", "Stra\xc3\x9fe gesperrt",
	}
)

func domain(address string) string {
	return address[strings.LastIndexByte(address, '@')+1:]
}

// field appends a header field.
func (m *mailer) field(format string, args ...any) {
	m.header = fmt.Appendf(m.header, format, args...)
	m.header = append(m.header, '\n')
}

// mailbox is the address in one of the usual forms of RFC 5322 3.4.
func (m *mailer) mailbox(address string) string {
	switch m.rng.IntN(4) {
	case 0:
		return address
	case 1:
		return fmt.Sprintf("%s (%s)", address, m.phrase(2))
	case 2:
		return fmt.Sprintf(`"%s, %s" <%s>`, m.phrase(1), m.phrase(1), address)
	}
	return fmt.Sprintf("%s <%s>", m.phrase(2), address)
}

func (m *mailer) phrase(n int) string {
	chosen := make([]string, n)
	for i := range chosen {
		chosen[i] = pick(m.rng, words)
	}
	return strings.Join(chosen, " ")
}

// trace appends Return-Path and a chain of Received fields, the newest first.
func (m *mailer) trace(from, to string, date time.Time) {
	m.field("Return-Path: <%s>", from)
	by := domain(to)
	for hop := range 1 + m.rng.IntN(4) {
		relay := fmt.Sprintf("mx%d.%s", hop+1, domain(from))
		m.field("Received: from %s (%s [192.0.2.%d])\n\tby %s (8.12.10/8.12.10) with ESMTP id h%08X\n\tfor <%s>; %s",
			relay, relay, 1+m.rng.IntN(254), by, m.rng.Uint32(), to,
			date.Add(-time.Duration(hop)*3*time.Second).Format("Mon, 2 Jan 2006 15:04:05 -0700 (MST)"))
		by = relay
	}
}

// copies sometimes appends a Cc field, now and then one of many lines.
func (m *mailer) copies() {
	if m.rng.IntN(4) > 0 {
		return
	}
	n := 1 + m.rng.IntN(3)
	if m.rng.IntN(20) == 0 {
		n = 150 // some 8 kB of header
	}
	addresses := make([]string, n)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("%s <%s%d@example.com>", m.phrase(2), pick(m.rng, words), i)
	}
	m.field("Cc: %s", strings.Join(addresses, ",\n\t"))
}

func (m *mailer) subject() {
	if m.rng.IntN(8) == 0 {
		m.field("Subject: %s", pick(m.rng, encodedSubjects))
		return
	}
	m.field("Subject: %s%s", pick(m.rng, []string{"", "", "Re: ", "Fwd: ", "[list] "}), m.phrase(2+m.rng.IntN(5)))
}

func (m *mailer) references(date time.Time) {
	if m.rng.IntN(3) > 0 {
		return
	}
	ids := make([]string, 1+m.rng.IntN(8))
	for i := range ids {
		ids[i] = fmt.Sprintf("<%d.%x@example.com>", date.Unix()-int64(i)*9000, m.rng.Uint32())
	}
	m.field("In-Reply-To: %s", ids[0])
	m.field("References: %s", strings.Join(ids, "\n "))
}

// logNormal is a size in octets with the given median, times the scale.
func (m *mailer) logNormal(median, sigma, most float64) int {
	return 1 + int(m.scale*min(most, median*math.Exp(sigma*m.rng.NormFloat64())))
}

// content appends the MIME fields and the body.
func (m *mailer) content() {
	size := m.logNormal(1800, 1, 100e3)
	switch kind := m.rng.IntN(100); {
	case kind < 35:
		m.field("MIME-Version: 1.0\nContent-Type: TEXT/PLAIN; charset=US-ASCII")
		m.body = m.texts.plain.appendTo(m.body, m.rng, size)
	case kind < 45: // before MIME, and from scripts
		m.body = m.texts.plain.appendTo(m.body, m.rng, size)
	case kind < 55:
		m.field("MIME-Version: 1.0\nContent-Type: text/plain;\n\tcharset=\"iso-8859-1\"\nContent-Transfer-Encoding: 8bit")
		m.body = m.texts.latin1.appendTo(m.body, m.rng, size)
	case kind < 60:
		m.field("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8; format=flowed\nContent-Transfer-Encoding: 8bit")
		m.body = m.texts.utf8.appendTo(m.body, m.rng, size)
	case kind < 65:
		m.field("MIME-Version: 1.0\nContent-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable")
		m.body = m.texts.quotedPrintable.appendTo(m.body, m.rng, size)
	case kind < 87:
		m.alternative(size)
	default:
		m.attachment(size)
	}
}

func (m *mailer) boundary() string { return fmt.Sprintf("----=_Part_%08X", m.rng.Uint32()) }

// alternative is the same text as text/plain and text/html (RFC 2046 5.1.4).
func (m *mailer) alternative(size int) {
	b := m.boundary()
	m.field("MIME-Version: 1.0\nContent-Type: multipart/alternative;\n\tboundary=\"%s\"", b)
	m.body = fmt.Appendf(m.body, "This is a multi-part message in MIME format.\n\n--%s\nContent-Type: text/plain; charset=us-ascii\n\n", b)
	m.body = m.texts.plain.appendTo(m.body, m.rng, size)
	m.body = fmt.Appendf(m.body, "\n--%s\nContent-Type: text/html; charset=us-ascii\n\n<html><body>\n", b)
	m.body = m.texts.html.appendTo(m.body, m.rng, size)
	m.body = fmt.Appendf(m.body, "</body></html>\n\n--%s--\n", b)
}

// attachment is a text with a file in base64 (RFC 2046 5.1.3).
func (m *mailer) attachment(size int) {
	b := m.boundary()
	m.field("MIME-Version: 1.0\nContent-Type: MULTIPART/MIXED; BOUNDARY=\"%s\"", b)
	m.body = fmt.Appendf(m.body, "--%s\nContent-Type: TEXT/PLAIN; charset=US-ASCII\n\n", b)
	m.body = m.texts.plain.appendTo(m.body, m.rng, size)
	m.body = fmt.Appendf(m.body, "\n--%s\nContent-Type: application/octet-stream; name=\"%s.doc\"\n"+
		"Content-Transfer-Encoding: BASE64\nContent-Disposition: attachment; filename=\"%[2]s.doc\"\n\n", b, pick(m.rng, words))
	m.body = m.texts.base64.appendTo(m.body, m.rng, m.logNormal(24e3, 1.3, 2e6))
	m.body = fmt.Appendf(m.body, "\n--%s--\n", b)
}

// curiosities gives a few messages what readers of mbox stumble over.
func (m *mailer) curiosities() {
	switch m.rng.IntN(60) {
	case 0:
		m.body = m.body[:0] // a header alone
	case 1:
		m.body = append(m.body, "\nFrom what I remember the meeting was on Monday.\nFrom: is a header, this is text\n"...)
	case 2:
		m.body = append(m.body, "\n>From here it was quoted on the way\n>>From there twice\n"...)
	case 3:
		m.body = append(m.body, "\n\n\n"...) // blank lines of its own at the end
	case 4:
		m.body = append(m.body, strings.Repeat("one very long line ", 500)+"\n"...)
	case 5:
		m.body = append(m.body, "  \n.\n..\n\f\n-- \nsignature\n"...)
	case 6: // names that resemble UW's internal fields but are not
		m.field("X-UIDL: %x", m.rng.Uint64())
		m.field("X-Original-Status: RO\nStatus-Of-Work: done\nContent-Length: %d", m.rng.IntN(9000))
	}
}

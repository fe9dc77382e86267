package cyrusspool

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"
)

// NameRules are the settings of a host that decide how names of another mail system
// become names of Cyrus.
type NameRules struct {
	// UnixHierarchySep is imapd.conf's unixhierarchysep (on by default since 3.0): the
	// separator is "/", and names may hold dots.
	UnixHierarchySep bool
	// UsernameToLower is imapd.conf's username_tolower (on by default): a user with a
	// capital letter could never log in.
	UsernameToLower bool
	// Domain is the virtual domain of all users, "" without one and for Cyrus's
	// defaultdomain, which is never part of a name. [CheckDomain] tells which are fit.
	Domain string
	// Charset is what names of 8-bit bytes are in when they are not UTF-8; nil means
	// ISO-8859-1.
	Charset encoding.Encoding
	// Prefixes are imapd.conf's userprefix, sharedprefix and altprefix where altnamespace is
	// on (by default since 3.0), as they stand there: what clients see of others begins with
	// them, so no first level of a user's own may be called so.
	Prefixes []string
	// Admins is imapd.conf's admins, user ids and groups.
	Admins []string
}

// A ChangeKind says why a name was changed.
type ChangeKind string

// The kinds of changes. Those of users come from [NameRules.UserID], the others from
// [NameRules.MapFolders].
const (
	KindUserCase     ChangeKind = "user-case"     // capitals, which username_tolower forbids
	KindUserChar     ChangeKind = "user-char"     // characters that a user may not have, now "_"
	KindUserDot      ChangeKind = "user-dot"      // a dot without unixhierarchysep, now "_": mail and login go by another name
	KindUserReserved ChangeKind = "user-reserved" // empty, or a name that Cyrus keeps for itself

	KindEncodedUTF8    ChangeKind = "encoded-utf8"    // 8-bit, was UTF-8: now modified UTF-7
	KindEncodedCharset ChangeKind = "encoded-charset" // 8-bit, taken as Charset: now modified UTF-7
	KindAmpersand      ChangeKind = "ampersand"       // "&" that began no modified UTF-7: now "&-"
	KindControl        ChangeKind = "control"         // control characters, now "_"
	KindRefused        ChangeKind = "refused"         // characters that Cyrus refuses, now "_"
	KindDot            ChangeKind = "dot"             // a dot without unixhierarchysep: users see "^"
	KindInbox          ChangeKind = "inbox"           // "INBOX" as the name of an ordinary folder
	KindReserved       ChangeKind = "reserved"        // an empty component, "." or "..", or one that Cyrus uses itself
	KindLong           ChangeKind = "long"            // too long, cut, or moved to the first level
	KindCollision      ChangeKind = "collision"       // another folder has that name: numbered
	KindSpace          ChangeKind = "space"           // a warning, nothing is changed: space at an end, which some clients cannot handle
	KindCase           ChangeKind = "case"            // a warning: another folder differs in capitals alone, which some clients cannot handle
)

// A Change is one change of a name: Old became New, by reason of Kind. Of a folder they
// are one component: Old the bytes of the source, New as users see it. Where one
// component was changed for several reasons each has a Change with the same pair.
type Change struct {
	Kind     ChangeKind
	Old, New string
}

// Warning tells whether nothing was changed, and the name only deserves a look.
func (c Change) Warning() bool { return c.Kind == KindSpace || c.Kind == KindCase }

// Separator returns the hierarchy separator of external names.
func (r NameRules) Separator() byte {
	if r.UnixHierarchySep {
		return '/'
	}
	return '.'
}

// goodChars are the characters that stand for themselves in an internal name
// (imap/mboxname.c, GOODCHARS of 3.0 and later; "()?[]" came with 3.0), without "."
// and "^", which are looked at apart, and without "*": it is allowed there, but
// reconstruct takes it for a pattern and clients cannot list it.
const goodChars = " #$'()+,-0123456789:=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz~"

func isGood(c rune) bool { return c < utf8.RuneSelf && strings.IndexByte(goodChars, byte(c)) >= 0 }

// maxUser leaves room in a name for a folder of the longest component; with a domain,
// for it too.
const maxUser = 200

// CheckDomain refuses what cannot be the domain of users: other than the name of a host
// in lower case.
func CheckDomain(domain string) error {
	if len(domain) > maxDomain {
		return fmt.Errorf("domain %q: more than %d bytes", domain, maxDomain)
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || label[0] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return fmt.Errorf("domain %q: not a domain in lower case", domain)
		}
	}
	return nil
}

// maxDomain leaves room in a name for a user.
const maxDomain = 100

// UserID returns the userid of a login name of the source host, with the domain behind
// it, and what had to be changed of the login. It takes any string. Two logins can get the same userid ("Joe" and "joe"):
// the caller sees all of them and must look.
func (r NameRules) UserID(login string) (userid string, changes []Change) {
	became := func(kind ChangeKind, now string) {
		if now != userid {
			changes = append(changes, Change{kind, userid, now})
			userid = now
		}
	}
	userid = login
	if r.Domain != "" {
		userid = strings.TrimSuffix(login, "@"+r.Domain) // has it already
		defer func() { userid += "@" + r.Domain }()
	}
	if r.UsernameToLower {
		became(KindUserCase, lowerASCII(userid))
	}
	became(KindUserChar, replaceBytes(userid, func(c byte) bool {
		// "@" would begin a domain where virtdomains is on. "+" begins the name of a folder in
		// the address of a mail that comes (imap/mboxname.c, mbname_from_recipient): mail to
		// "joe+x" would come to joe.
		return c == '.' || c != '@' && c != '+' && isGood(rune(c))
	}))
	if !r.UnixHierarchySep {
		became(KindUserDot, strings.ReplaceAll(userid, ".", "_"))
	}
	switch userid {
	case "":
		became(KindUserReserved, "_")
	case "anyone", "anonymous": // imap/mboxname.c, mboxname_policycheck
		became(KindUserReserved, userid+"_")
	}
	limit := maxUser
	if r.Domain != "" {
		limit -= len(r.Domain) + 1
	}
	if len(userid) > limit {
		mark := "-" + shortHash(strings.TrimSuffix(login, "@"+r.Domain))
		became(KindLong, userid[:limit-len(mark)]+mark)
	}
	return userid, changes
}

// Identifier is the identifier of an access right as Cyrus keeps it: users' names are
// lowered as in [NameRules.UserID], those of groups are not (SETACL of 3.6.1).
func (r NameRules) Identifier(id string) string {
	if !r.UsernameToLower || strings.HasPrefix(strings.TrimPrefix(id, "-"), "group:") {
		return id
	}
	return lowerASCII(id)
}

// lowerASCII lowers A to Z only, as Cyrus does (lib/util.c, lcase).
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func replaceBytes(s string, keep func(c byte) bool) string {
	b := []byte(s)
	for i, c := range b {
		if !keep(c) {
			b[i] = '_'
		}
	}
	return string(b)
}

// shortHash tells apart names that were cut.
func shortHash(s string) string {
	sum := sha1.Sum([]byte(s))
	return hex.EncodeToString(sum[:4])
}

// A component is one component of a folder's name on its way into an internal name.
type component struct {
	raw   string // bytes of the source
	text  []rune // what users are to see
	name  string // in an internal name
	kinds []ChangeKind
}

// component maps raw, which stands on the first level below the INBOX if top is set.
func (r NameRules) component(raw string, top bool) component {
	c := component{raw: raw}
	switch raw {
	case "", ".", "..":
		c.text = []rune(strings.Repeat("_", max(1, len(raw))))
		c.because(KindReserved)
	default:
		c.text = r.decode(&c)
		r.replace(&c)
	}
	if top {
		r.reserve(&c)
	}
	if n := len(c.text); c.text[0] == ' ' || c.text[n-1] == ' ' {
		c.because(KindSpace)
	}
	c.name = internal(c.text)
	if len(c.name) > MaxComponent {
		c.because(KindLong)
		c.name = cut(c.text, "-"+shortHash(raw), MaxComponent)
	}
	return c
}

func (c *component) because(kind ChangeKind) {
	for _, k := range c.kinds {
		if k == kind {
			return
		}
	}
	c.kinds = append(c.kinds, kind)
}

// changed tells whether users will see another name than before.
func (c *component) changed() bool {
	for _, k := range c.kinds {
		if k != KindSpace {
			return true
		}
	}
	return false
}

// changes returns the reasons as pairs of old and new.
func (c *component) changes(sep byte) []Change {
	var all []Change
	for _, k := range c.kinds {
		all = append(all, Change{k, c.raw, Name(c.name).External(sep)})
	}
	return all
}

// decode returns the text of a name that is 8-bit, modified UTF-7 or plain ASCII.
func (r NameRules) decode(c *component) []rune {
	eightBit := strings.IndexFunc(c.raw, func(c rune) bool { return c >= utf8.RuneSelf }) >= 0
	switch {
	case eightBit && utf8.ValidString(c.raw):
		c.because(KindEncodedUTF8)
		return []rune(norm.NFC.String(c.raw)) // file systems of Macs hand out NFD
	case eightBit:
		c.because(KindEncodedCharset)
		charset := r.Charset
		if charset == nil {
			charset = charmap.ISO8859_1
		}
		text, err := charset.NewDecoder().String(c.raw)
		if err != nil || text == "" {
			// No decoder of x/text fails on bad input, but the interface allows it.
			text = replaceBytes(c.raw, func(c byte) bool { return c < utf8.RuneSelf })
		}
		return []rune(norm.NFC.String(text))
	}
	if text, err := DecodeUTF7(c.raw); err == nil {
		return []rune(text) // a client made it, or there is no "&" in it
	}
	if strings.Contains(c.raw, "&") {
		c.because(KindAmpersand)
	}
	return []rune(c.raw)
}

// replace puts "_" for what an internal name cannot hold.
func (r NameRules) replace(c *component) {
	made := c.changed() // text that we decoded; what a client encoded stays as it is
	for i, char := range c.text {
		switch {
		case char < ' ' || char == 0x7f, made && 0x80 <= char && char < 0xa0:
			c.because(KindControl)
		case char >= 0xa0 && char != utf8.RuneError, char >= 0x80 && !made, char == '&', isGood(char):
			continue
		case char == '.':
			if !r.UnixHierarchySep {
				c.because(KindDot)
			}
			continue
		case char == '^' && !r.UnixHierarchySep:
			continue
		default:
			c.because(KindRefused)
		}
		c.text[i] = '_'
	}
}

// ownFolders are the first-level folders that Cyrus 3 keeps for itself below a user
// (the defaults of calendarprefix and its like in lib/imapoptions).
var ownFolders = []string{"#addressbooks", "#calendars", "#drive", "#jmap", "#notifications", "#sieve"}

// reserve renames a first-level folder that would be taken for something else.
func (r NameRules) reserve(c *component) {
	text := string(c.text)
	if strings.EqualFold(text, "INBOX") {
		c.because(KindInbox)
		c.text = []rune("INBOX.saved")
	}
	for _, own := range ownFolders {
		if strings.HasPrefix(lowerASCII(text), own) {
			c.because(KindReserved)
			c.text[0] = '_'
		}
	}
	// Clients would see it below altprefix (imap/mboxname.c, mbname_extname of 3.0 and later,
	// which compares bytes), or could not name it at all.
	for slices.Contains(r.Prefixes, strings.ReplaceAll(internal(c.text), "^", ".")) {
		c.because(KindReserved)
		c.text = append(c.text, '_')
	}
}

// internal returns text as a component of an internal name.
func internal(text []rune) string {
	return strings.ReplaceAll(encodeUTF7(text), ".", "^")
}

// cut returns the internal form of as much of text as fits into limit bytes with mark
// behind it.
func cut(text []rune, mark string, limit int) string {
	text = text[:min(len(text), limit)] // no character takes less than a byte
	for {
		if name := internal(text) + mark; len(name) <= limit || len(text) == 0 {
			return name
		}
		text = text[:len(text)-1]
	}
}

package cyrusspool

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrSubscriptions is the error of a subscription file whose content is none, or would be.
var ErrSubscriptions = errors.New("malformed subscription file")

// SubscriptionForm is one of the two forms of a user's subscription file
// (subscription_db: flat, the default of all releases).
type SubscriptionForm int

// The forms of subscription files. Cyrus 3.6 and later read the old form too, and
// rewrite it at first use.
const (
	SubscriptionNames   SubscriptionForm = iota // "user.joe.Sent TAB LF", up to Cyrus 3.4
	SubscriptionDBNames                         // "NINBOX 1F Sent TAB LF" behind a version line, Cyrus 3.6 and later
)

// Bytes of a database name (imap/mboxname.c, DB_HIERSEP_CHAR, DB_DOMAINSEP_CHAR): it
// has real dots inside components.
const (
	dbHierSep   = "\x1f"
	dbDomainSep = "\x1d"
)

// dbVersionKey is the key of the version record.
const dbVersionKey = "\x1fVER\x1f"

// Subscriptions is the content of one user's subscription file.
type Subscriptions struct {
	Form    SubscriptionForm
	Version int    // of [SubscriptionDBNames]: 2, from Cyrus 3.12 on 3; when written 0 means 2
	Owner   string // userid; the second form writes "INBOX" for the owner's own INBOX
	Names   []Name
}

// ParseSubscriptions reads a subscription file of the user owner in either form. The
// keys must be in strict byte order, for Cyrus looks them up by bisection. The error
// wraps [ErrSubscriptions].
func ParseSubscriptions(b []byte, owner string) (*Subscriptions, error) {
	s := &Subscriptions{Owner: owner}
	previous := ""
	rest := string(b)
	for number := 1; rest != ""; number++ {
		line, after, ended := strings.Cut(rest, "\n")
		key, value, tabbed := strings.Cut(line, "\t")
		rest = after
		switch {
		case !ended || !tabbed || key == "":
			return nil, fmt.Errorf("%w: line %d: %q", ErrSubscriptions, number, line)
		case key <= previous:
			return nil, fmt.Errorf("%w: line %d: %q is not in order", ErrSubscriptions, number, key)
		case key == dbVersionKey:
			version, err := strconv.Atoi(value)
			if err != nil || version < 1 {
				return nil, fmt.Errorf("%w: line %d: version %q", ErrSubscriptions, number, value)
			}
			s.Form, s.Version = SubscriptionDBNames, version
		case value != "":
			return nil, fmt.Errorf("%w: line %d: value %q", ErrSubscriptions, number, value)
		case s.Form == SubscriptionNames:
			s.Names = append(s.Names, Name(key))
		default:
			name, err := fromDBName(key, owner)
			if err != nil {
				return nil, fmt.Errorf("%w: line %d: %w", ErrSubscriptions, number, err)
			}
			s.Names = append(s.Names, name)
		}
		previous = key
	}
	return s, nil
}

// Append appends the file to b, keys in byte order and each once. A name that cannot be
// a key wraps [ErrSubscriptions].
func (s *Subscriptions) Append(b []byte) ([]byte, error) {
	keys := make([]string, 0, len(s.Names))
	for _, name := range s.Names {
		// No internal name holds a control character or 0xff, which the flat format escapes.
		if name == "" || strings.IndexFunc(string(name), func(c rune) bool { return c < ' ' || c >= 0x7f }) >= 0 {
			return b, fmt.Errorf("%w: name %q", ErrSubscriptions, name)
		}
		key := string(name)
		if s.Form == SubscriptionDBNames {
			key = toDBName(name, s.Owner)
			if back, err := fromDBName(key, s.Owner); err != nil || back != name {
				return b, fmt.Errorf("%w: name %q", ErrSubscriptions, name) // it would be another: "!x" has no domain
			}
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if s.Form == SubscriptionDBNames {
		version := s.Version
		if version == 0 {
			version = 2
		}
		// 1F is below every first letter, so the version comes first.
		b = append(b, dbVersionKey+"\t"+strconv.Itoa(version)+"\n"...)
	}
	for _, key := range slices.Compact(keys) {
		b = append(b, key+"\t\n"...)
	}
	return b, nil
}

// toDBName returns the key of name: "N" and the database name.
func toDBName(name Name, owner string) string {
	inbox := string(InboxName(owner))
	if below, own := strings.CutPrefix(string(name), inbox); own && (below == "" || below[0] == '.') {
		return "N" + dbComponents("INBOX"+below)
	}
	domain, rest := name.split()
	if domain != "" {
		domain += dbDomainSep
	}
	return "N" + domain + dbComponents(rest)
}

func dbComponents(internal string) string {
	return strings.NewReplacer(".", dbHierSep, "^", ".").Replace(internal)
}

// fromDBName is the reverse of toDBName.
func fromDBName(key, owner string) (Name, error) {
	dbname, ok := strings.CutPrefix(key, "N")
	if !ok || dbname == "" || strings.Contains(dbname, "^") {
		return "", fmt.Errorf("key %q", key)
	}
	domain, rest, found := strings.Cut(dbname, dbDomainSep)
	if found {
		domain += "!"
	} else {
		domain, rest = "", dbname
	}
	name := strings.NewReplacer(dbHierSep, ".", ".", "^").Replace(rest)
	if below, own := strings.CutPrefix(name, "INBOX"); own && !found && (below == "" || below[0] == '.') {
		return InboxName(owner) + Name(below), nil
	}
	return Name(domain + name), nil
}

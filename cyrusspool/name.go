package cyrusspool

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A Name is the internal name of a mailbox: components with "." between them, "^" for
// a dot inside a component, modified UTF-7 for what is not ASCII, and with virtual
// domains "domain!" in front: "user.joe.Sent", "user.j^smith.v1^2 notes".
type Name string

// MaxName is the longest internal name, in bytes, that every release of Cyrus takes:
// MAX_MAILBOX_NAME of imap/mailbox.h is 490 from 2.1 to 3.6 (of which 3.8 and later keep
// MAX_MAILBOX_CREATENAME), but ctl_mboxlist -u of 3.6 (do_undump) takes one less.
const MaxName = 489

// MaxComponent is the longest component of a name, in bytes: in the layout by name it
// is a file name.
const MaxComponent = 255

// InboxName returns the name of the user's INBOX. The userid is taken as it is:
// [NameRules.UserID] gives a fit one. What follows its last "@" is the domain.
func InboxName(userid string) Name {
	domain := ""
	if at := strings.LastIndexByte(userid, '@'); at >= 0 {
		userid, domain = userid[:at], userid[at+1:]+"!"
	}
	return Name(domain + "user." + strings.ReplaceAll(userid, ".", "^"))
}

// split takes the domain off.
func (n Name) split() (domain, rest string) {
	if domain, rest, found := strings.Cut(string(n), "!"); found {
		return domain, rest
	}
	return "", string(n)
}

// User returns the userid of the owner, "" for a shared mailbox.
func (n Name) User() string {
	domain, rest := n.split()
	components := strings.Split(rest, ".")
	if len(components) < 2 || components[0] != "user" {
		return ""
	}
	user := strings.ReplaceAll(components[1], "^", ".")
	if domain != "" {
		user += "@" + domain
	}
	return user
}

// Folder returns the components below the user's INBOX, as they are in the name; none
// for the INBOX itself. Of a shared mailbox it returns all components.
func (n Name) Folder() []string {
	_, rest := n.split()
	components := strings.Split(rest, ".")
	if n.User() != "" {
		components = components[2:]
	}
	return components
}

// IsInbox reports whether it is the INBOX of a user.
func (n Name) IsInbox() bool { return n.User() != "" && len(n.Folder()) == 0 }

// External returns the name that Cyrus's admin programs take, where sep is '/'
// (unixhierarchysep on) or '.': "user/j.smith/v1.2 notes" or "user.joe.Sent", with
// "@domain" at the end if there is one.
func (n Name) External(sep byte) string {
	domain, rest := n.split()
	if sep == '/' {
		rest = toSlash.Replace(rest)
	}
	if domain != "" {
		rest += "@" + domain
	}
	return rest
}

var toSlash = strings.NewReplacer(".", "/", "^", ".")

// Display returns the external name for people to read: modified UTF-7 decoded, and
// what could confuse a terminal shown as an escape. It does not lead back to the name.
func (n Name) Display(sep byte) string {
	external := n.External(sep)
	if text, err := DecodeUTF7(external); err == nil {
		external = text
	}
	var out strings.Builder
	for _, c := range external {
		switch {
		case unicode.IsPrint(c):
			out.WriteRune(c)
		case c <= 0xffff:
			fmt.Fprintf(&out, `\u%04x`, c)
		default:
			fmt.Fprintf(&out, `\U%08x`, c)
		}
	}
	return out.String()
}

// Parents returns the mailboxes that must exist so that every name has all mailboxes
// above it, without the names themselves: for "user.joe.a.b" alone "user.joe" and
// "user.joe.a". They are sorted, so a parent comes before its children.
func Parents(names []Name) []Name {
	have := make(map[Name]bool, len(names))
	for _, n := range names {
		have[n] = true
	}
	var parents []Name
	for _, n := range names {
		for {
			dot := strings.LastIndexByte(string(n), '.')
			if dot < 0 {
				break
			}
			n = n[:dot]
			if _, rest := n.split(); rest == "user" || have[n] {
				// Above a name that is had, all is had or will be added for it.
				break
			}
			have[n] = true
			parents = append(parents, n)
		}
	}
	slices.Sort(parents)
	return parents
}

package mbox

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// inboxTemplate says where a host delivers each user's mail: UW's "system inbox"
// (env_unix.c sysinbox).
type inboxTemplate struct {
	home bool   // below each home, else below dir
	dir  string // clean path below the source root of the directory that has all inboxes
	// elements are those of the path below dir or the home, with %u, %1u and so on in
	// them.
	elements []string
}

// parseInboxTemplate reads "/var/mail/%u", "/var/mail/%1u/%2u/%u", "~/Mailbox" and the
// like. %u is the user's name, %1u to %9u its first to ninth byte.
func parseInboxTemplate(template string) (t inboxTemplate, err error) {
	bad := func(why string) (inboxTemplate, error) {
		return t, fmt.Errorf("mbox: inbox template %q %s: %w", template, why, fs.ErrInvalid)
	}
	path, home := strings.CutPrefix(template, "~/")
	elements := splitPath(path)
	switch {
	case len(elements) == 0:
		return bad("names no file")
	case slices.Contains(elements, ".."):
		return bad("leads out of its directory")
	}
	for _, e := range elements {
		if !validTemplate(e) {
			return bad("has a % that is not %u or %1u to %9u")
		}
	}
	t.home, t.elements = home, elements
	if home {
		return t, nil
	}
	if elements[len(elements)-1] != "%u" {
		return bad("must end with /%u, or begin with ~/ if it is a file in each home")
	}
	fixed := slices.IndexFunc(elements, func(e string) bool { return strings.Contains(e, "%") })
	if fixed == 0 {
		return bad("names no directory that has all inboxes")
	}
	t.dir, t.elements = strings.Join(elements[:fixed], "/"), elements[fixed:]
	return t, nil
}

// validTemplate reports whether every % in an element begins one of ours.
func validTemplate(element string) bool {
	for {
		_, rest, more := strings.Cut(element, "%")
		switch {
		case !more:
			return true
		case strings.HasPrefix(rest, "u"):
			element = rest[1:]
		case len(rest) > 1 && '1' <= rest[0] && rest[0] <= '9' && rest[1] == 'u':
			element = rest[2:]
		default:
			return false
		}
	}
}

// path returns the elements of a user's inbox below dir or the home. A name that has
// fewer bytes than the template asks for gives its last one. nil: the name makes an
// element that is no file name.
func (t inboxTemplate) path(user string) []string {
	replace := []string{"%u", user}
	for n := 1; n <= 9; n++ {
		at := min(n, len(user)) - 1
		replace = append(replace, fmt.Sprintf("%%%du", n), user[at:at+1])
	}
	r := strings.NewReplacer(replace...)
	names := make([]string, len(t.elements))
	for i, e := range t.elements {
		if names[i] = r.Replace(e); unsafeName(names[i]) != "" {
			return nil
		}
	}
	return names
}

func (t inboxTemplate) String() string {
	path := strings.Join(t.elements, "/")
	if t.home {
		return "~/" + path
	}
	return "/" + t.dir + "/" + path
}

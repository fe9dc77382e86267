package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// maxPasswdLine is the longest line of a passwd file that is parsed, in bytes. The
// rest of a longer line is read past without being kept.
const maxPasswdLine = 16 << 10

// maxPasswdEntries bounds the memory for a passwd file. It is above the number of
// users that any host of one machine is known to have had.
const maxPasswdEntries = 1 << 20

// maxNameBytes is the longest file name of the usual file systems (NAME_MAX). A
// longer user name cannot have an inbox.
const maxNameBytes = 255

// PasswdEntry is one user of a passwd file: the fields that matter for mail.
type PasswdEntry struct {
	Name     string // raw; a safe file name
	UID, GID uint32
	Home     string // raw, as in the file; may be empty
}

// ParsePasswd reads a file in passwd(5) format: seven fields separated by colons.
// Blank lines and comments are passed over. Every other line that names no usable
// user is returned as a [Skipped] whose Path is path: NIS lines (+ and -), lines
// with a wrong number of fields or an id that is no number, names that are no safe
// file name. Of two lines for one name the first counts, as it does for getpwnam(3).
//
// The error is a read error of r, or says that the file has too many users.
func ParsePasswd(r io.Reader, path string) ([]PasswdEntry, []Skipped, error) {
	var (
		entries []PasswdEntry
		skipped skipList
		seen    = make(map[string]int) // name to line number
		lines   = bufio.NewReaderSize(r, maxPasswdLine)
	)
	for number := 1; ; number++ {
		line, long, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return entries, skipped.result("", path), nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("passwd %s: line %d: %w", path, number, err)
		}
		entry, bad := parsePasswdLine(line, long)
		switch first, dup := seen[entry.Name]; {
		case bad != nil:
		case entry.Name == "": // blank or comment
			continue
		case dup:
			bad = &Skipped{User: entry.Name, Kind: SkipDuplicateUser,
				Text: fmt.Sprintf("user %q is already on line %d, which counts; delete one of the lines if they differ", entry.Name, first)}
		case len(entries) == maxPasswdEntries:
			return nil, nil, fmt.Errorf("passwd %s: line %d: more than %d users", path, number, maxPasswdEntries)
		default:
			seen[entry.Name] = number
			entries = append(entries, entry)
			continue
		}
		bad.Path = path
		bad.Text = fmt.Sprintf("line %d: %s", number, bad.Text)
		skipped.add(*bad)
	}
}

// getentTimeout is how long getent may take: a large directory server needs minutes.
const getentTimeout = 10 * time.Minute

// getentPasswd reads the users that this machine knows.
func getentPasswd() (entries []PasswdEntry, skipped []Skipped, err error) {
	err = getent("passwd", func(out io.Reader) (err error) {
		entries, skipped, err = ParsePasswd(out, "getent passwd")
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return entries, skipped, nil
}

// readLine returns the next line without its line end. Of a line longer than the
// reader's buffer it returns the beginning and long = true. At the end of the
// input it returns io.EOF and no line. The line is valid until the next call.
func readLine(r *bufio.Reader) (line []byte, long bool, err error) {
	line, err = r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		// The buffer is reused by what follows, so the beginning needs a copy.
		line = bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.ReadSlice('\n')
		}
		long = true
	}
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = nil
	}
	if err != nil {
		return nil, false, err
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), long, nil
}

// parsePasswdLine returns the entry of one line, or why there is none. A blank line
// or a comment gives neither: an entry without a name.
func parsePasswdLine(line []byte, long bool) (PasswdEntry, *Skipped) {
	var none PasswdEntry
	text := string(line)
	bad := func(kind SkipKind, format string, args ...any) (PasswdEntry, *Skipped) {
		return none, &Skipped{Kind: kind, Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case long:
		return bad(SkipPasswdLine, "longer than %d bytes, so no user is taken from it", maxPasswdLine)
	case strings.TrimSpace(text) == "" || text[0] == '#':
		return none, nil
	}
	field := strings.Split(text, ":")
	// Of a bad line only the name is shown: the next field may be a password hash.
	shown := clip(field[0])
	switch text[0] {
	case '+':
		_, s := bad(SkipPasswdLine, "NIS entry %q: its users are in another database; give a file made by getent passwd on the source host", shown)
		s.MayHoldMail = true
		return none, s
	case '-':
		return bad(SkipPasswdLine, "NIS exclusion %q: nobody is excluded by it here", shown)
	}
	if len(field) != 7 {
		hint := ", but a passwd line has 7"
		switch len(field) {
		case 9:
			hint = ", as in a shadow file; give the passwd file"
		case 10: // master.passwd(5) of the BSDs; Mac OS X's NetInfo knows no other form
			hint = `, as in a BSD master.passwd or from "nidump passwd"; give what "cut -d: -f1-4,8-" makes of it`
		}
		return bad(SkipPasswdLine, "%q has %d fields%s", shown, len(field), hint)
	}
	name := field[0]
	if why := unsafeName(name); why != "" {
		return bad(SkipUserName, "user name %q %s; rename the user", clip(name), why)
	}
	uid, err := strconv.ParseUint(field[2], 10, 32)
	if err != nil {
		return bad(SkipPasswdLine, "user %q: uid %q is no number from 0 to 4294967295", name, clip(field[2]))
	}
	gid, err := strconv.ParseUint(field[3], 10, 32)
	if err != nil {
		return bad(SkipPasswdLine, "user %q: gid %q is no number from 0 to 4294967295", name, clip(field[3]))
	}
	return PasswdEntry{Name: name, UID: uint32(uid), GID: uint32(gid), Home: field[5]}, nil
}

// unsafeName says why a user name must not become the name of a file, "" if it may.
func unsafeName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case name == "." || name == "..":
		return "is a directory's name for itself or its parent"
	case len(name) > maxNameBytes:
		return "is longer than a file name can be"
	case strings.Contains(name, "/"):
		return "contains a slash"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "contains a control character"
	}
	return ""
}

// clip shortens a hostile string for a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

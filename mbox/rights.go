package mbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/fsrights"
)

// as calls do with the rights that u has to files: his uid, his group, and the other groups
// of the host that he is in. Nothing that he could not open is opened then, by whatever
// name or link, and a home on a file server that gives root no rights (root_squash) can
// be read. What is above his home and the inbox directory is not his: see [sourceRoot.open].
func (h *Host) as(u User, do func() error) error { return h.rights(u).Do(do) }

func (h *Host) rights(u User) fsrights.Identity {
	return fsrights.Identity{UID: u.UID, GID: u.GID, Groups: h.groups[u.Name]}
}

// isHisAllTheSame reports whether a file below dir that the user whose rights are used may not
// open is his mail for all that: it belongs to him, so that he could allow himself (chmod
// 0 left no mail behind); or it is root's, in a directory of root's that he cannot
// write to, so that only root can have put it there, as happens to a host that is copied
// without its owners. In a directory of his own he could have moved or linked it, and then
// taken his own right to write there away.
func isHisAllTheSame(dir *os.File, st *unix.Stat_t) bool {
	if st.Uid == fsrights.UID() {
		return true
	}
	parent, err := fstat(dir)
	return err == nil && parent.Uid == 0 && st.Uid == 0 && unix.Faccessat(int(dir.Fd()), ".", unix.W_OK, unix.AT_EACCESS) != nil
}

const groupFile = "etc/group"

// readGroups reads which groups the users of passwd are in besides their own. A host
// without a group file has none.
func (h *Host) readGroups(opts HostOptions) error {
	wanted := func(name string) bool { return h.names[name] }
	if opts.Getent {
		return getent("group", func(out io.Reader) (err error) {
			h.groups, err = parseGroups(out, wanted)
			return err
		})
	}
	file, err := h.root.open(groupFile)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	st, err := fstat(file)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
		h.groups, err = parseGroups(file, wanted)
	}
	return err
}

// Bounds of a group file: the bytes of one name or number in it, and the groups that one user
// can be in (NGROUPS_MAX of Linux).
const (
	maxGroupWord  = 1 << 10
	maxUserGroups = 1 << 16
)

// parseGroups reads a file in group(5) format, name:password:gid:member,member…, and returns
// the groups of each wanted member, in ascending order. A line that has no gid says nothing. Lines may
// have any length.
func parseGroups(r io.Reader, wanted func(name string) bool) (map[string][]uint32, error) {
	groups := make(map[string][]uint32)
	words := bufio.NewScanner(r)
	words.Buffer(make([]byte, 0, maxGroupWord), 2*maxGroupWord)
	words.Split(splitGroup)
	var (
		field = 0
		gid   uint64
		known bool // gid is this line's
		tail  bool // what comes is the rest of a word
	)
	for words.Scan() {
		word := words.Bytes()
		end := word[len(word)-1]
		text := string(bytes.TrimSpace(word[:len(word)-1]))
		switch {
		case tail:
		case field == 2:
			var err error
			gid, err = strconv.ParseUint(text, 10, 32)
			known = err == nil
		case field == 3 && known && end != 0 && wanted(text) && len(groups[text]) < maxUserGroups:
			groups[text] = append(groups[text], uint32(gid))
		}
		tail = end == 0
		switch end {
		case '\n':
			field, known = 0, false
		case ':':
			field++
		}
	}
	if err := words.Err(); err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	for name, list := range groups {
		slices.Sort(list)
		groups[name] = slices.Compact(list)
	}
	return groups, nil
}

// splitGroup splits a group file into words, each with the byte that ends it; one without
// gets a line end. Of a word that is too long to be a name the beginning is a word of its
// own, which ends with NUL.
func splitGroup(data []byte, atEOF bool) (advance int, word []byte, err error) {
	if i := bytes.IndexAny(data, ":,\n"); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	switch {
	case len(data) > maxGroupWord:
		return len(data), append(bytes.Clone(data), 0), nil
	case atEOF && len(data) > 0:
		return len(data), append(bytes.Clone(data), '\n'), nil
	}
	return 0, nil, nil
}

// getent has read take what getent(1) prints, which asks all databases of nsswitch.conf(5).
func getent(database string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), getentTimeout)
	defer cancel()
	fail := func(err error, more string) error {
		return fmt.Errorf("mbox: getent %s: %w%s", database, err, more)
	}
	cmd := exec.CommandContext(ctx, "getent", database)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fail(err, "")
	}
	if err := cmd.Start(); err != nil {
		return fail(err, "; give a passwd file")
	}
	if err = read(out); err != nil {
		cancel() // it may have more to say than anybody reads
	}
	if waitErr := cmd.Wait(); err == nil {
		err = waitErr
	}
	if err != nil {
		return fail(err, said(complaint.String()))
	}
	return nil
}

// said is what a program complained of, to follow an error.
func said(complaint string) string {
	if complaint = strings.TrimSpace(complaint); complaint == "" {
		return ""
	}
	return fmt.Sprintf(" (it said %q)", clip(complaint))
}

// Package specialuse finds, among the folders of a user, those for sent mail, drafts,
// trash, junk and the archive (RFC 6154), by the names that mail programs gave them.
package specialuse

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// A Use is what a folder is for, spelt as in the attributes of RFC 6154 without the
// backslash.
type Use string

// The uses that Cyrus knows and mail programs had folders for.
const (
	Sent    Use = "Sent"
	Drafts  Use = "Drafts"
	Trash   Use = "Trash"
	Junk    Use = "Junk"
	Archive Use = "Archive"
)

var uses = []Use{Sent, Drafts, Trash, Junk, Archive}

// Rules say which name is of which use. The zero value knows no name.
type Rules struct {
	names map[string]place // by folded name
	last  map[Use]int
}

// place is the use of a name, and how likely it is among the names of that use.
type place struct {
	use  Use
	rank int
}

// Auto returns the names that mail programs used (see names.go).
func Auto() Rules {
	var r Rules
	for _, use := range uses {
		for _, name := range known[use] {
			r.add(use, name)
		}
	}
	return r
}

// add adds a name behind those that the use has. A name that has a use keeps it.
func (r *Rules) add(use Use, name string) bool {
	if r.names == nil {
		r.names, r.last = map[string]place{}, map[Use]int{}
	}
	key := fold(name)
	if _, taken := r.names[key]; taken {
		return false
	}
	r.last[use]++
	r.names[key] = place{use, r.last[use]}
	return true
}

// Prefer makes name the likeliest of a use, which is given in any case. A use that is
// not known here is passed over.
func (r *Rules) Prefer(use, name string) {
	for _, u := range uses {
		if strings.EqualFold(string(u), use) {
			r.add(u, name) // so that there are maps
			r.names[fold(name)] = place{u, 0}
		}
	}
}

// ErrFile is wrapped by every error of a file of names. Each names its line.
var ErrFile = errors.New("file of special uses")

// ReadFile reads a file of two columns, use and folder name in UTF-8, separated by
// commas (CSV, RFC 4180), the likeliest names of a use first. Lines that begin with "#"
// and a first line "use,…" are not read.
func ReadFile(path string) (r Rules, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrFile, err)
	}
	c := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	c.Comment = '#'
	c.FieldsPerRecord = 2
	c.TrimLeadingSpace = true
	for n := 0; ; n++ {
		fields, err := c.Read()
		if err == io.EOF {
			return r, nil
		}
		if err != nil {
			return r, fmt.Errorf("%w %s: %w", ErrFile, path, err)
		}
		if n == 0 && strings.EqualFold(fields[0], "use") {
			continue
		}
		line, _ := c.FieldPos(0)
		i := slices.IndexFunc(uses, func(u Use) bool { return strings.EqualFold(string(u), strings.TrimPrefix(fields[0], `\`)) })
		switch {
		case i < 0:
			return r, fmt.Errorf("%w %s:%d: %q is none of %s, %s, %s, %s, %s", ErrFile, path, line, fields[0], Sent, Drafts, Trash, Junk, Archive)
		case fields[1] == "" || strings.ContainsAny(fields[1], "/\x00\n"):
			return r, fmt.Errorf("%w %s:%d: the name of a folder on the first level is wanted", ErrFile, path, line)
		case !r.add(uses[i], fields[1]):
			return r, fmt.Errorf("%w %s:%d: %q is there twice", ErrFile, path, line, fields[1])
		}
	}
}

// A Folder is one folder on the first level, with its name in UTF-8.
type Folder struct {
	Name  string
	Bytes int64
}

// A Passed folder has a name of a use that another folder got.
type Passed struct {
	Folder, For int // places in the list of folders
	Use         Use
}

// Choose returns the use of some of a user's folders, by their places in the list; each
// use is given once. Of several folders with names of one use it gets the one with most
// bytes, for that is the one that was used; of equal ones the one with the likeliest
// name.
func (r Rules) Choose(folders []Folder) (chosen map[int]Use, passed []Passed) {
	chosen = map[int]Use{}
	candidates := map[Use][]int{}
	for i, f := range folders {
		if p, ok := r.names[fold(f.Name)]; ok {
			candidates[p.use] = append(candidates[p.use], i)
		}
	}
	for _, use := range uses {
		all := candidates[use]
		if len(all) == 0 {
			continue
		}
		slices.SortFunc(all, func(a, b int) int {
			return cmp.Or(-cmp.Compare(folders[a].Bytes, folders[b].Bytes),
				cmp.Compare(r.names[fold(folders[a].Name)].rank, r.names[fold(folders[b].Name)].rank),
				cmp.Compare(folders[a].Name, folders[b].Name))
		})
		chosen[all[0]] = use
		for _, other := range all[1:] {
			passed = append(passed, Passed{Folder: other, For: all[0], Use: use})
		}
	}
	return chosen, passed
}

// fold makes names alike that differ in capitals or in how an accent is written.
func fold(name string) string { return strings.ToLower(norm.NFC.String(name)) }

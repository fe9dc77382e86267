package cyrusspool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Mapping is where a folder of the source goes.
type Mapping struct {
	From    string   // the folder's name at the source, as it was given
	To      Name     // the mailbox
	Changes []Change // why To is not simply From, the components above included
}

// MapFolders maps the folders of one user, given as the source's raw names with "/"
// between components. The first "INBOX" is the user's INBOX itself; any other, in any
// case, is a folder of that name. The result is in the order of folders.
//
// It takes any strings. No two mappings have the same To, and no folder gets a name
// that another needs for a parent unless it is that parent. Which folder gets which
// name does not depend on the order of folders. Where two names become one, a name
// that needed no change keeps it, else the first in byte order; the others get "-2",
// "-3" and so on.
func (r NameRules) MapFolders(userid string, folders []string) []Mapping {
	userid, _ = r.UserID(userid)
	tree := namer{rules: r, root: &folderNode{name: InboxName(userid)}}
	mappings := make([]Mapping, len(folders))
	nodes := make([]*folderNode, len(folders))
	for i, folder := range folders {
		mappings[i].From = folder
		nodes[i] = tree.insert(folder)
	}
	tree.nameChildren(tree.root)
	tree.nameLong(nodes)
	for i, node := range nodes {
		mappings[i].To = node.name
		mappings[i].Changes = node.changes
	}
	return mappings
}

// A folderNode is a folder, or a directory on the way to one. Names are given level by
// level, so that two directories never become one.
type folderNode struct {
	folder   bool   // a folder of the source, not only a directory
	path     string // raw name of the folder
	copies   int    // how often the folder is listed again
	children map[folderKey]*folderNode
	taken    map[string]bool // components given to children
	name     Name            // "" before it has one, and where it would be too long
	changes  []Change
}

// A folderKey tells the children of a node apart. A folder that is listed twice is two
// folders: n counts them.
type folderKey struct {
	raw string
	n   int
}

type namer struct {
	rules NameRules
	root  *folderNode
}

// insert makes the nodes of folder and returns the last one.
func (t *namer) insert(folder string) *folderNode {
	if folder == "INBOX" && !t.root.folder {
		t.root.folder = true
		return t.root
	}
	at := t.root
	components := strings.Split(folder, "/")
	last := len(components) - 1
	for i, raw := range components {
		key := folderKey{raw: raw}
		child := at.children[key]
		if i == last && child != nil && child.folder {
			child.copies++
			key.n = child.copies
			child = nil
		}
		if child == nil {
			child = new(folderNode)
			if at.children == nil {
				at.children = make(map[folderKey]*folderNode)
			}
			at.children[key] = child
		}
		at = child
	}
	at.folder = true
	at.path = folder
	return at
}

// nameChildren names everything below node, which has a name.
func (t *namer) nameChildren(node *folderNode) {
	type candidate struct {
		folderKey
		component
		given    string // name among its siblings
		collided bool   // which is not the one that it should have
	}
	var candidates []candidate
	for key := range node.children {
		candidates = append(candidates, candidate{folderKey: key, component: t.rules.component(key.raw, node == t.root)})
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(a.n, b.n),
			compareBool(a.changed(), b.changed()),
			cmp.Compare(a.folderKey.raw, b.folderKey.raw))
	})
	node.taken = make(map[string]bool, len(candidates))
	if node == t.root {
		for _, prefix := range t.rules.Prefixes { // nor may a number make one
			node.taken[strings.ReplaceAll(prefix, ".", "^")] = true
		}
	}
	next := make(map[string]int)  // number to try next behind a name
	alike := make(map[string]int) // how many names are the same but for capitals
	for i, c := range candidates {
		candidates[i].given, candidates[i].collided = node.give(c.text, c.name, next)
		alike[foldCase(candidates[i].given)]++
	}
	sep := t.rules.Separator()
	for _, c := range candidates {
		child := node.children[c.folderKey]
		child.changes = append(slices.Clip(node.changes), c.changes(sep)...)
		visible := Name(c.given).External(sep)
		if c.collided {
			child.changes = append(child.changes, Change{KindCollision, Name(c.name).External(sep), visible})
		}
		if alike[foldCase(c.given)] > 1 {
			child.changes = append(child.changes, Change{KindCase, c.folderKey.raw, visible})
		}
		if full := node.name + "." + Name(c.given); len(full) <= MaxName {
			child.name = full
			t.nameChildren(child)
		}
	}
}

// nameLong names the folders whose full names would be too long: below the INBOX, by
// what can be kept of the last component and a hash of the whole.
func (t *namer) nameLong(nodes []*folderNode) {
	var long []*folderNode
	for _, node := range nodes {
		if node.name == "" {
			long = append(long, node)
		}
	}
	slices.SortStableFunc(long, func(a, b *folderNode) int { return cmp.Compare(a.path, b.path) })
	next := make(map[string]int)
	for _, node := range long {
		c := t.rules.component(node.path[strings.LastIndexByte(node.path, '/')+1:], false)
		wanted := cut(c.text, "-"+shortHash(node.path), MaxComponent)
		name, _ := t.root.give(c.text, wanted, next)
		node.name = t.root.name + "." + Name(name)
		node.changes = append(c.changes(t.rules.Separator()),
			Change{KindLong, node.path, Name(name).External(t.rules.Separator())})
	}
}

// give returns name, or name with a number behind it where a child has that name
// already. text is what name is made of.
func (f *folderNode) give(text []rune, name string, next map[string]int) (given string, collided bool) {
	given = name
	for n := max(2, next[name]); f.taken[given]; n++ {
		mark := "-" + strconv.Itoa(n)
		if given = name + mark; len(given) > MaxComponent {
			given = cut(text, mark, MaxComponent)
		}
		next[name] = n + 1
		collided = true
	}
	f.taken[given] = true
	return given, collided
}

// foldCase returns what two names have in common that differ in capitals alone.
func foldCase(name string) string {
	if text, err := DecodeUTF7(name); err == nil {
		name = text
	}
	return strings.ToLower(name)
}

// Text returns the name of a user's folder as the user sees it, in UTF-8, with "/"
// between its components whatever the separator is, and "INBOX" for the INBOX itself.
// [NameRules.FolderName] leads back to the name.
func (r NameRules) Text(n Name) string {
	components := n.Folder()
	if len(components) == 0 {
		return "INBOX"
	}
	for i, c := range components {
		if text, err := DecodeUTF7(c); err == nil {
			c = text
		}
		if r.UnixHierarchySep {
			c = strings.ReplaceAll(c, "^", ".")
		}
		components[i] = c
	}
	return strings.Join(components, "/")
}

// ErrName is wrapped by the error of a name that Cyrus would not have.
var ErrName = errors.New("not a name for a folder")

// FolderName returns the mailbox of a folder whose name was chosen for Cyrus: text in
// UTF-8, with "/" between its components whatever the separator is. Other than
// [NameRules.MapFolders] it changes nothing: a name that Cyrus cannot have as it stands
// is an error that wraps [ErrName] and says why. The INBOX is no such folder.
func (r NameRules) FolderName(userid, text string) (Name, error) {
	refuse := func(format string, args ...any) (Name, error) {
		return "", fmt.Errorf("%q is %w: %s", text, ErrName, fmt.Sprintf(format, args...))
	}
	if !utf8.ValidString(text) {
		return refuse("it is not UTF-8")
	}
	name := InboxName(userid)
	for i, raw := range strings.Split(text, "/") {
		switch raw {
		case "", ".", "..":
			return refuse("a level of it is %q", raw)
		}
		c := component{raw: raw, text: []rune(raw)}
		// As for a name that a client made: what is not ASCII is nobody's business.
		r.replace(&c)
		for at, char := range []rune(raw) {
			if c.text[at] != char {
				return refuse("Cyrus refuses %q in it", char)
			}
		}
		if c.changed() {
			return refuse("it has a dot, which separates levels (unixhierarchysep is off)")
		}
		if i == 0 {
			if r.reserve(&c); c.changed() {
				return refuse("Cyrus keeps %q for itself", raw)
			}
		}
		component := internal(c.text)
		if len(component) > MaxComponent {
			return refuse("a level of it takes %d bytes, %d are possible", len(component), MaxComponent)
		}
		name += "." + Name(component)
	}
	if len(name) > MaxName {
		return refuse("the mailbox's name takes %d bytes, %d are possible", len(name), MaxName)
	}
	return name, nil
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

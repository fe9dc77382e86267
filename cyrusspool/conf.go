package cyrusspool

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Limits of a configuration. Cyrus has none; real files are a few kilobytes.
const (
	maxConfBytes = 4 << 20 // of one file
	maxConfFiles = 64      // with everything included
)

// A Setting is one "key: value" of imapd.conf.
type Setting struct {
	Key   string // lower case
	Value string // as written, without the white space around it
	File  string // where it was set
	Line  int    // counted from 1; of a continued line the last one
}

// String returns the setting as a line of imapd.conf, without the line end. One with an
// empty value, which only "cyr_info conf-all" prints, has no such line: it must be left
// out.
func (s Setting) String() string {
	line := s.Key + ": " + s.Value
	if strings.HasSuffix(line, `\`) {
		line += " " // else it would be continued; white space at the end is not read
	}
	return line
}

// Conf is a parsed imapd.conf.
type Conf struct {
	settings []Setting
	byKey    map[string]int
}

// A ConfError is a line that Cyrus would refuse to start with.
type ConfError struct {
	File string
	Line int
	Msg  string
}

// Error gives "file:line: what is wrong".
func (e *ConfError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg) }

// ParseConf reads imapd.conf at path and everything it includes, as Cyrus does
// (lib/libconfig.c, config_read_file): keys in any case, "#" only at the start of a
// line, "\" at the end of a line continues it, "@include: FILE" reads another file. A
// key set twice, a line without a key, an empty value and a file included twice are
// errors there and here. A bad line is a [*ConfError].
func ParseConf(path string) (*Conf, error) {
	p := confParser{conf: newConf(), seen: make(map[string]bool)}
	p.include = p.file
	if err := p.file(path); err != nil {
		return nil, err
	}
	return p.conf, nil
}

// ParseConfReader reads one configuration from r; name stands for it in errors. It
// also reads what "cyr_info conf" and "cyr_info conf-all" print, which is the same
// form except that values may be empty. An @include is an error here, for there is no
// file it could be relative to.
func ParseConfReader(r io.Reader, name string) (*Conf, error) {
	p := confParser{conf: newConf(), emptyOK: true}
	if err := p.parse(r, name); err != nil {
		return nil, err
	}
	return p.conf, nil
}

func newConf() *Conf { return &Conf{byKey: make(map[string]int)} }

type confParser struct {
	conf    *Conf
	emptyOK bool
	include func(path string) error // nil: refused
	seen    map[string]bool
}

func (p *confParser) file(path string) (err error) {
	path = filepath.Clean(path)
	if p.seen[path] {
		return fmt.Errorf("imapd.conf: %s is included twice", path)
	}
	if len(p.seen) == maxConfFiles {
		return fmt.Errorf("imapd.conf: more than %d files, at %s", maxConfFiles, path)
	}
	p.seen[path] = true
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("imapd.conf: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return p.parse(f, path)
}

func (p *confParser) parse(r io.Reader, name string) error {
	in := bufio.NewReader(io.LimitReader(r, maxConfBytes+1))
	var text []byte // a logical line: continued lines joined
	for read, line := 0, 1; ; line++ {
		piece, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return fmt.Errorf("%s: %w", name, err)
		}
		if read += len(piece); read > maxConfBytes {
			return &ConfError{name, line, fmt.Sprintf("configuration of more than %d bytes", maxConfBytes)}
		}
		last := err == io.EOF
		piece, ended := bytes.CutSuffix(piece, []byte("\n"))
		if ended && bytes.HasSuffix(piece, []byte(`\`)) {
			text = append(text, piece[:len(piece)-1]...)
			continue
		}
		if last && len(piece) == 0 {
			return nil // Cyrus, too, drops a line that was to be continued here
		}
		text = append(text, piece...)
		if err := p.line(string(text), name, line); err != nil {
			return err
		}
		text = text[:0]
		if last {
			return nil
		}
	}
}

// cSpace is what isspace(3) takes for white space in the C locale.
const cSpace = " \t\n\v\f\r"

func (p *confParser) line(text, file string, line int) error {
	bad := func(format string, args ...any) error {
		return &ConfError{file, line, fmt.Sprintf(format, args...)}
	}
	text = strings.Trim(text, cSpace)
	if text == "" || text[0] == '#' {
		return nil
	}
	if strings.IndexByte(text, 0) >= 0 {
		return bad("NUL byte")
	}
	key, value, found := strings.Cut(text, ":")
	if !found || !validKey(key) {
		return bad("invalid option name")
	}
	key = strings.ToLower(key)
	value = strings.TrimLeft(value, cSpace)
	if value == "" && !p.emptyOK {
		return bad("empty value of %s", key)
	}
	if key[0] != '@' {
		if first, twice := p.conf.byKey[key]; twice {
			was := p.conf.settings[first]
			return bad("%s is set twice, first at %s:%d", key, was.File, was.Line)
		}
		p.conf.byKey[key] = len(p.conf.settings)
		p.conf.settings = append(p.conf.settings, Setting{key, value, file, line})
		return nil
	}
	if key != "@include" {
		return bad("unknown directive %s", key)
	}
	if p.include == nil {
		return bad("@include cannot be followed here")
	}
	if err := p.include(value); err != nil {
		return fmt.Errorf("%s:%d: included: %w", file, line, err)
	}
	return nil
}

// validKey tells whether key is made of letters, digits, "-" and "_", after an "@" if
// it is a directive.
func validKey(key string) bool {
	name := strings.TrimPrefix(key, "@")
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return name != ""
}

// Get returns the value of key, in any case, and whether it is set. A leading
// "{configdirectory}" is replaced, as Cyrus does for its own options.
func (c *Conf) Get(key string) (string, bool) {
	i, ok := c.byKey[strings.ToLower(key)]
	if !ok {
		return "", false
	}
	value := c.settings[i].Value
	const macro = "{configdirectory}"
	if len(value) >= len(macro) && strings.EqualFold(value[:len(macro)], macro) {
		if dir, ok := c.byKey["configdirectory"]; ok && dir != i {
			value = c.settings[dir].Value + value[len(macro):]
		}
	}
	return value, true
}

// Bool returns the switch key, or def where it is not set (defaults differ between
// releases, so the caller names its own). Cyrus looks at the first letters only
// (lib/libconfig.c, config_parse_switch); anything else is a [*ConfError].
func (c *Conf) Bool(key string, def bool) (bool, error) {
	i, ok := c.byKey[strings.ToLower(key)]
	if !ok {
		return def, nil
	}
	s := c.settings[i]
	for _, prefix := range []string{"1", "y", "on", "t"} {
		if strings.HasPrefix(s.Value, prefix) {
			return true, nil
		}
	}
	for _, prefix := range []string{"0", "n", "of", "f"} {
		if strings.HasPrefix(s.Value, prefix) {
			return false, nil
		}
	}
	return false, &ConfError{s.File, s.Line, fmt.Sprintf("%s: %q is not a switch", s.Key, s.Value)}
}

// All returns every setting in the order of the files, so that a caller can write a
// modified copy (see [Setting.String]).
func (c *Conf) All() []Setting { return append([]Setting(nil), c.settings...) }

// Keys returns every key that is set, lower case, in the order of the files.
func (c *Conf) Keys() []string {
	keys := make([]string, len(c.settings))
	for i, s := range c.settings {
		keys[i] = s.Key
	}
	return keys
}

// Partitions returns the root directory of each partition by name (the partition-NAME
// options; not the roots of metadata and archives).
func (c *Conf) Partitions() map[string]string {
	dirs := make(map[string]string)
	for _, s := range c.settings {
		if name, ok := strings.CutPrefix(s.Key, "partition-"); ok && name != "" {
			dirs[name] = s.Value
		}
	}
	return dirs
}

// DefaultPartition returns the name of the partition for new users, lower case, or ""
// where defaultpartition is not set.
func (c *Conf) DefaultPartition() string {
	name, _ := c.Get("defaultpartition")
	return strings.ToLower(name)
}

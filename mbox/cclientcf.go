package mbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// c-client's configuration files (env_unix.c dorc): of the host, below the source root,
// and of a user, below the home.
const (
	clientConfigFile = "etc/c-client.cf"
	mmInitFile       = ".mminit"
	imapRCFile       = ".imaprc"
)

const (
	// maxClientConfig bounds how much of a configuration file is read.
	maxClientConfig = 1 << 20
	// maxClientLine is the longest line that UW reads, its LF included (MAILTMPLEN less
	// the NUL). At a longer one, and at a last one without LF, it stops reading.
	maxClientLine = 1023
)

// riskPhrase begins the first line that releases from 2001 to 2004 want before they
// believe the file. Later ones take every line for itself.
const riskPhrase = "I accept the risk"

// ErrConfig is wrapped by every [*ConfigError].
var ErrConfig = errors.New("unsupported configuration of the source host")

// ConfigError refuses a host whose c-client is configured for a layout that is not read.
type ConfigError struct {
	File    string // below the source root
	Line    int    // from 1
	Setting string // as in the file, "set black-box-directory"
	Value   string
	Hint    string // what it means and what to do
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("mbox: %s line %d: %q: %s; if this host's UW IMAP never obeyed the file, have it ignored",
		e.File, e.Line, e.Setting+" "+e.Value, e.Hint)
}

// Unwrap makes it an [ErrConfig].
func (e *ConfigError) Unwrap() error { return ErrConfig }

// setting is one line "set NAME VALUE" of a configuration file.
type setting struct {
	file        string
	line        int
	name, value string // name in lower case
}

func (s setting) refuse(format string, args ...any) *ConfigError {
	return &ConfigError{File: s.file, Line: s.line, Setting: "set " + s.name, Value: clip(s.value), Hint: fmt.Sprintf(format, args...)}
}

// on is atoi: anything that begins with another number than 0.
func (s setting) on() bool {
	digits := strings.TrimLeft(s.value, " \t")
	digits = strings.TrimLeft(digits, "+-")
	end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		digits = digits[:end]
	}
	n, err := strconv.Atoi(digits)
	return n != 0 || errors.Is(err, strconv.ErrRange)
}

// clientSettings are the settings of one file, by name. Of several with one name it is
// the last, as in UW, but for keywords, of which the first counts.
type clientSettings struct {
	byName map[string]setting
	risk   bool // the first line accepts the risk
	cut    int  // line at which UW stops reading, 0: it reads all
}

// parseClientConfig reads the lines that UW reads. The error is that of r.
func parseClientConfig(r io.Reader, file string) (clientSettings, error) {
	c := clientSettings{byName: map[string]setting{}}
	lines := bufio.NewReaderSize(io.LimitReader(r, maxClientConfig), maxClientLine+1)
	for number := 1; ; number++ {
		line, err := lines.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return c, err
		}
		if !strings.HasSuffix(line, "\n") || len(line) > maxClientLine {
			if line != "" {
				c.cut = number
			}
			return c, nil
		}
		line = strings.TrimSuffix(line, "\n")
		if number == 1 && strings.HasPrefix(line, riskPhrase) {
			c.risk = true
			continue
		}
		// Two words, each followed by one space, and the rest is the value.
		set, rest, _ := strings.Cut(line, " ")
		name, value, ok := strings.Cut(rest, " ")
		if !ok || !strings.EqualFold(set, "set") {
			continue
		}
		s := setting{file: file, line: number, name: strings.ToLower(name), value: value}
		if _, have := c.byName[s.name]; !have || s.name != "keywords" {
			c.byName[s.name] = s
		}
	}
}

// keywords is the list of "set keywords", nil if there is none.
func (c clientSettings) keywords() []string {
	var names []string
	for _, name := range strings.FieldsFunc(c.byName["keywords"].value, func(r rune) bool { return r == ',' || r == ' ' }) {
		if len(name) <= maxKeywordLength && len(names) < maxKeywords {
			names = append(names, name)
		}
	}
	return names
}

// clientConfig is what the host's c-client.cf means for reading its mail.
type clientConfig struct {
	settings clientSettings
	// mailSubdirectory is the directory below each home that UW's names start in, clean;
	// "" is the home itself.
	mailSubdirectory string
	inbox            *inboxTemplate // nil: not set
	mhPath           string         // clean, below each home; "" is what ~/.mh_profile says
	mhInbox          bool           // the INBOX may be MH's
	hideDotFiles     bool
	userConfig       bool // users have configuration files of their own
	notes            []Skipped
}

// readClientConfig reads the host's configuration. inboxGiven says that the caller knows
// where the inboxes are, so that the file need not be understood there.
func (h *Host) readClientConfig(inboxGiven bool) (c clientConfig, err error) {
	f, err := h.root.open(clientConfigFile)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	defer f.Close()
	st, err := fstat(f)
	if err != nil {
		return c, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return c, fmt.Errorf("%s: %s where a file belongs: %w", clientConfigFile, fileType(st), fs.ErrInvalid)
	}
	if c.settings, err = parseClientConfig(f, clientConfigFile); err != nil {
		return c, fmt.Errorf("%s: %w", clientConfigFile, err)
	}
	if err := c.interpret(inboxGiven); err != nil {
		return c, err
	}
	if !c.settings.risk {
		c.note("its first line does not accept the risk, so that UW IMAP of 2001 to 2004 ignored it and others did not; its settings are taken to be in force")
	}
	if c.settings.cut > 0 {
		c.note("UW reads it no further than line %d, which is too long or has no line end; nor is it here", c.settings.cut)
	}
	return c, nil
}

func (c *clientConfig) note(format string, args ...any) {
	c.notes = append(c.notes, Skipped{Path: clientConfigFile, Kind: SkipConfig, Text: "c-client's configuration: " + fmt.Sprintf(format, args...)})
}

// interpret applies the settings that say where mail is, and refuses those that cannot
// be.
func (c *clientConfig) interpret(inboxGiven bool) error {
	byName := c.settings.byName
	for _, name := range []string{"black-box-directory", "black-box-default-home-directory"} {
		if s, ok := byName[name]; ok {
			return s.refuse("the mail of all users is in one black box, which is not read; copy each BOX/user to a home of its own, with the passwd file naming that")
		}
	}
	if s, ok := byName["chroot-server"]; ok && s.on() && !inboxGiven {
		return s.refuse("each user is closed into his home and his INBOX is there; confirm it by giving the inbox template ~/INBOX")
	}
	if s, ok := byName["mail-subdirectory"]; ok {
		sub, err := cleanMailDir(s.value)
		if err != nil {
			return s.refuse("not a directory below each home")
		}
		c.mailSubdirectory = sub
		c.used(s)
	}
	if s, ok := byName["system-inbox"]; ok && !inboxGiven {
		// A relative name is one below the home, which imapd's directory is.
		value := s.value
		if !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "~/") {
			value = "~/" + value
		}
		template, err := parseInboxTemplate(value)
		if err != nil {
			return s.refuse("one file as everybody's INBOX; say with an inbox template where each user's is")
		}
		c.inbox = &template
		c.used(s)
	}
	if s, ok := byName["mh-path"]; ok {
		path, err := cleanMailDir(s.value)
		if err != nil || path == "" {
			return s.refuse("not a directory below each home; move the MH folders below the homes")
		}
		c.mhPath = path
		c.used(s)
	}
	if s, ok := byName["mh-allow-inbox"]; ok && s.on() {
		c.mhInbox = true
		c.used(s)
	}
	if s, ok := byName["hide-dot-files"]; ok && s.on() {
		c.hideDotFiles = true
		c.used(s)
	}
	if s, ok := byName["allow-user-config"]; ok && s.on() {
		c.userConfig = true
	}
	for _, name := range []string{"public-home-directory", "shared-home-directory", "ftp-export-directory"} {
		if s, ok := byName[name]; ok {
			c.notes = append(c.notes, Skipped{Path: cleanPath(s.value), Kind: SkipConfig, MayHoldMail: true,
				Text: fmt.Sprintf("mailboxes of a shared namespace (%s line %d, set %s), which belong to no user, are not converted", s.file, s.line, s.name)})
		}
	}
	return nil
}

// used says that a setting is applied.
func (c *clientConfig) used(s setting) {
	c.note("line %d, set %s %q, is applied", s.line, s.name, clip(s.value))
}

// Keywords returns the names that c-client's configuration files, the host's and the
// user's own, give to the keyword bits of formats that do not record them, in the order
// of the bits. The first file that has any counts (env_unix.c env_init, dorc). Why a file
// of the user's was not read is told by [Host.Folders]. The error says that the user's
// rights cannot be used.
func (h *Host) Keywords(u User) (names []string, err error) {
	err = h.as(u, func() error {
		home, _ := h.openHome(u.Home)
		if home != nil {
			defer home.Close()
		}
		names = h.keywords(home, u, func(string, *Skipped, error) {})
		return nil
	})
	return names, err
}

// keywords is Keywords for an open home, or nil. It calls refused for every file that is
// there and was not read.
func (h *Host) keywords(home *os.File, u User, refused func(name string, s *Skipped, err error)) []string {
	if names := h.config.settings.keywords(); names != nil || home == nil {
		return names
	}
	// Releases up to 2000 read both; later ones neither, unless allow-user-config is set.
	// Names for bits that have none do no harm, so the one with nothing else in it counts.
	files := []string{mmInitFile}
	if h.config.userConfig {
		files = append(files, imapRCFile)
	}
	for _, name := range files {
		f, _, s, err := openUserFile(home, name, u.UID)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || s != nil {
			refused(name, s, err)
			continue
		}
		settings, err := parseClientConfig(f, name)
		if err := errors.Join(err, f.Close()); err != nil {
			refused(name, nil, err)
			continue
		}
		if names := settings.keywords(); names != nil {
			return names
		}
	}
	return nil
}

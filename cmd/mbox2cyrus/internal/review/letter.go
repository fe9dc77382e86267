package review

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/template"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/history"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/internal/plural"
)

//go:embed letter.txt
var letterText string

// Letter is what a letter to one user tells, for its template. Names are raw: the
// function name makes them printable, text does so for texts.
type Letter struct {
	User     string // login on the UW host
	Host     string
	Folders  int64
	Messages int64
	Login    []string // what changed about his login, in words
	Renamed  []Rename
	// Afresh are the folders that IMAP programs may fetch anew, by their names now: renamed
	// ones, and those without a UIDVALIDITY that could be kept. Of these no program knew
	// anything if UW never opened them, so that they alone are no reason for a letter.
	Afresh     []string
	Again      int64 // messages that POP3 programs fetch again at most
	AgainBytes int64
	Hidden     int64 // messages marked deleted, which UW's POP3 server did not show
	Held       []Held
	Look       []Problem // what needs a person
}

// Changed reports whether the letter has anything to tell but that mail moved.
func (l *Letter) Changed() bool {
	return len(l.Login)+len(l.Renamed)+len(l.Held)+len(l.Look) > 0 || l.Again > 0 || l.Hidden > 0
}

// maxLook bounds what a letter lists.
const maxLook = 50

// Letters are the letters of all users whose mail arrived, in the order of Users, and how
// many there are of whom it did not.
func (r *Review) Letters() (letters []*Letter, others int, err error) {
	for _, h := range r.Hosts {
		byName := map[string]*Letter{}
		for _, u := range r.Users {
			switch {
			case u.host != h:
			case u.State != Proved && u.State != Attention || !h.hasMailboxes(string(u.Name)):
				others++
			default:
				l := &Letter{User: string(u.Name), Host: h.Name, Folders: u.Folders, Messages: u.Messages}
				byName[l.User] = l
				letters = append(letters, l)
			}
		}
		if err := r.fill(h, byName); err != nil {
			return nil, 0, err
		}
		err := h.each(func(_ string, ln history.Line) {
			if l := byName[ln.User]; l != nil && ln.Type == "problem" && ln.Severity == report.Attention.String() && !ln.IsHeld() {
				l.problem(problem(h, "", ln))
			}
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return letters, others, nil
}

// fill adds what the review knows of the users of a host.
func (r *Review) fill(h *Host, byName map[string]*Letter) error {
	shown := map[string]map[string]string{} // by user and mailbox
	for _, n := range r.Names {
		if l := byName[string(n.User)]; l != nil && n.Host == h.Name {
			l.Renamed = append(l.Renamed, n)
			if shown[l.User] == nil {
				shown[l.User] = map[string]string{}
			}
			shown[l.User][n.mailbox] = n.New
		}
	}
	for _, p := range r.POP3 {
		if l := byName[string(p.User)]; l != nil && p.Host == h.Name {
			l.Again, l.AgainBytes, l.Hidden = p.Again, p.AgainBytes, p.Hidden
		}
	}
	for _, held := range r.Held {
		if l := byName[string(held.User)]; l != nil && held.Host == h.Name {
			l.Held = append(l.Held, held)
		}
	}
	for name, l := range byName {
		boxes, err := h.ledger.MailboxesOf(name)
		if err != nil {
			return err
		}
		for _, m := range boxes {
			now, renamed := shown[name][m.Name]
			if m.Folder == "" || m.Messages == 0 || !renamed && !m.NewUIDVald {
				continue
			}
			if !renamed {
				now = string(m.Folder)
			}
			l.Afresh = append(l.Afresh, now)
		}
	}
	return nil
}

func (l *Letter) problem(p Problem) {
	switch {
	case p.Kind == "user-admin": // nothing that the user could do
	case strings.HasPrefix(p.Kind, "user-"):
		text, _, _ := strings.Cut(p.Text, "; ") // the rest is for the administrator
		l.Login = append(l.Login, text)
	case strings.HasPrefix(p.Kind, "name-"): // told as a renamed folder
	case len(l.Look) < maxLook:
		l.Look = append(l.Look, p)
	case len(l.Look) == maxLook:
		l.Look = append(l.Look, Problem{Text: "and more"})
	}
}

// LetterTemplate reads the template of letters from a file, "" for the one that comes
// along. An error names its line.
func LetterTemplate(path string) (*template.Template, error) {
	text, name := letterText, "letter"
	if path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
		text, name = string(b), path
	}
	return template.New(name).Option("missingkey=error").Funcs(template.FuncMap{
		"name": func(s any) string { return report.Quote(fmt.Sprint(s)) }, "text": report.Printable, "size": size, "plural": plural.Count[int64]}).Parse(text)
}

// WriteLetters writes a letter for each user who is told anything, or for all of them, as
// a file of mode 0600 in the directory dir, which is made if need be. Nothing is sent.
// It returns how many were written, and how many others are there: of an earlier report, to
// users who may be told something else now, or nothing.
func WriteLetters(dir string, letters []*Letter, tmpl *template.Template, all bool) (n, others int, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return 0, 0, fmt.Errorf("letters: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, 0, fmt.Errorf("letters: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	names := map[string]bool{}
	for _, l := range letters {
		if !all && !l.Changed() {
			continue
		}
		name := fileName(l.User)
		for at := l.User; names[name]; name = fileName(at) { // of another host
			at += "@" + l.Host
		}
		names[name] = true
		if err := l.write(root, name, tmpl); err != nil {
			return n, 0, fmt.Errorf("letter to %s: %w", report.Quote(l.User), err)
		}
		n++
	}
	there, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return n, 0, fmt.Errorf("letters: %w", err)
	}
	for _, f := range there {
		if strings.HasSuffix(f.Name(), letterSuffix) && !names[f.Name()] {
			others++
		}
	}
	return n, others, nil
}

// letterSuffix ends the name of a letter's file.
const letterSuffix = ".txt"

// fileName is a plain file name for any login.
func fileName(login string) string {
	name := url.PathEscape(login)
	if strings.HasPrefix(name, ".") {
		name = "%2E" + name[1:]
	}
	return name + letterSuffix
}

// write puts the letter in the place of what has its name. That is not written to: others may be
// able to read it, or it may be a FIFO, or another name of a file elsewhere (a hard link).
func (l *Letter) write(root *os.Root, name string, tmpl *template.Template) error {
	var b bytes.Buffer
	if err := tmpl.Execute(&b, l); err != nil {
		return err
	}
	other := ".letter." + strconv.Itoa(os.Getpid())
	// One may be there of a process that had this number and was killed.
	if err := root.Remove(other); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(other, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, root.Remove(other))
	}
	if err := root.Rename(other, name); err != nil {
		return errors.Join(err, root.Remove(other))
	}
	return nil
}

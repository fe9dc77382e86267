package report

import "fmt"

// Held is one thing that is held, in the list of approve. Names are raw.
type Held struct {
	ID             string
	User, Folder   string
	Source, File   string // path below the source root, and which file of a folder of several
	Offset, Length int64  // bytes
	Reason, Text   string
	SHA1           string // of the bytes; "" where the file must not be opened
	Approved       string // by whom and when; "": by nobody
}

// Held reports one thing that is held; whatever nobody approved of needs a person.
func (r *Reporter) Held(h Held) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Held++
	r.sum.HeldBytes += h.Length
	state := "NOT APPROVED"
	if h.Approved != "" {
		state = "approved by " + Printable(h.Approved)
	} else {
		r.sum.Attentions++
	}
	r.emit(Warn, h.object())
	if r.opts.Quiet && h.Approved != "" {
		return
	}
	name := Quote(h.Folder)
	if h.File != "" {
		name += " " + Quote(h.File)
	}
	bytes := fmt.Sprintf("%d bytes", h.Length)
	if h.SHA1 == "" {
		bytes += ", not kept"
	}
	r.text(r.results, fmt.Sprintf("%s  %s: %s: offset %d: %s: %s (%s) [%s]", h.ID, Quote(h.User), name, h.Offset, bytes, Printable(h.Text), state, h.Reason))
}

func (h Held) object() map[string]any {
	m := map[string]any{"message_type": "held", "id": h.ID, "offset": h.Offset, "length": h.Length, "reason": h.Reason,
		"text": toValidUTF8(h.Text), "sha1": h.SHA1, "approved": toValidUTF8(h.Approved)}
	AddName(m, "user", h.User)
	AddName(m, "folder", h.Folder)
	AddName(m, "source", h.Source)
	if h.File != "" {
		AddName(m, "file", h.File)
	}
	return m
}

package mbox

import (
	"regexp"
	"slices"
	"strings"
)

// The reference reads a whole mailbox in memory, line by line and as simply as the rules
// can be put. It shares no code with Reader and is what Reader is tested against.

type refMessage struct {
	offset, header, body, end int
	uid                       uint32
	flags                     string
	text                      string
}

type refMailbox struct {
	ok       bool // it is a mailbox
	messages []refMessage
	validity uint32
	last     uint32
	keywords []string
}

// refDates are the five arrangements of a date at the end of a From_ line.
var refDates = []*regexp.Regexp{
	regexp.MustCompile(`(?s) .{3} .{3} .{2} .{2}:.{2}(:.{2})? .{4}$`),
	regexp.MustCompile(`(?s) .{3} .{3} .{2} .{2}:.{2}(:.{2})? .{3} .{4}$`),
	regexp.MustCompile(`(?s) .{3} .{3} .{2} .{2}:.{2}(:.{2})? [+-].{4} .{4}$`),
	regexp.MustCompile(`(?s) .{3} .{3} .{2} .{2}:.{2}(:.{2})? .{4} .{3}$`),
	regexp.MustCompile(`(?s) .{3} .{3} .{2} .{2}:.{2}(:.{2})? .{4} [+-].{4}$`),
}

// refFrom reports whether s begins with a From_ line, and its length with the LF.
func refFrom(s string, crs int) (int, bool) {
	line, _, found := strings.Cut(s, "\n")
	if !found || !strings.HasPrefix(line, "From ") || strings.Contains(line, "\x00") {
		return 0, false
	}
	n := len(line) + 1
	for ; crs > 0; crs-- {
		line = strings.TrimSuffix(line, "\r")
	}
	if i := strings.LastIndexByte(line, ' '); len(line) >= 41 && strings.HasSuffix(line[:i], " remote from") {
		line = strings.TrimSuffix(line[:i], " remote from")
	}
	if len(line) < 27 {
		return 0, false
	}
	runes := make([]rune, len(line)) // one for each byte: columns are bytes
	for i := range len(line) {
		runes[i] = rune(line[i])
	}
	l := len(line)
	// Which arrangement it is, is decided by the last space alone.
	var candidates []*regexp.Regexp
	switch {
	case line[l-5] == ' ' && line[l-8] == ':':
		candidates = refDates[:1]
	case line[l-5] == ' ' && line[l-9] == ' ':
		candidates = refDates[1:2]
	case line[l-5] == ' ':
		candidates = refDates[2:3]
	case line[l-4] == ' ':
		candidates = refDates[3:4]
	default:
		candidates = refDates[4:]
	}
	return n, candidates[0].MatchString(string(runes))
}

func refNULs(s string) int { return len(s) - len(strings.TrimLeft(s, "\x00")) }

func refLine(s string) string {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return s[:i+1]
	}
	return s
}

func refBlank(line string, crs int) bool {
	n := strings.Count(line, "\r")
	return n <= crs && line == strings.Repeat("\r", n)+"\n"
}

var refInternal = regexp.MustCompile(`(?is)^(status|x-status|x-keywords|x-uid|x-imap|x-imapbase)([: \t\r\n\x00]|$)`)
var refParsed = regexp.MustCompile(`^(Status|X-Status|X-Keywords|X-UID|X-IMAP|X-IMAPbase):`)

// refHeaderLine is a line of a header; what Reader makes of it does not depend on others.
type refHeaderLine struct {
	text   string // without the LF if NULs or the file's end cut it off
	hidden bool
}

func refDoubleCR(s string) int {
	lines := strings.SplitAfter(s, "\n")
	if len(lines) < 2 {
		return 1
	}
	crs := func(line string) int {
		if !strings.HasSuffix(line, "\n") {
			return 0
		}
		line = strings.TrimSuffix(line, "\n")
		return len(line) - len(strings.TrimRight(line, "\r"))
	}
	n := max(crs(lines[0]), crs(lines[1]))
	if n < 2 || n > 4 || crs(lines[0]) != 1 && crs(lines[0]) != n {
		return 1
	}
	for _, line := range lines[1 : len(lines)-1] {
		if crs(line) != n {
			return 1
		}
	}
	return n
}

func refRead(file string) (box refMailbox) {
	s := strings.TrimRight(file, "\x00")
	rest := strings.TrimLeft(s, " \t\r\n")
	pos := len(s) - len(rest)
	if rest == "" {
		box.ok = true
		return box
	}
	crs := 1
	if strings.HasPrefix(rest, "From ") {
		crs = refDoubleCR(rest)
	}
	if _, ok := refFrom(rest, crs); !ok || pos > 0 && s[pos-1] != '\n' {
		return box
	}
	box.ok = true
	var headers [][]refHeaderLine
	for pos < len(s) {
		m := refMessage{offset: pos}
		n, _ := refFrom(s[pos:], crs)
		pos += n
		m.header = pos
		var lines []refHeaderLine
		blank, next := false, -1
		lines, pos, blank, next = refHeader(s, pos, crs)
		m.body = pos
		if blank {
			for pos < len(s) && next < 0 {
				nuls := refNULs(s[pos:])
				if _, ok := refFrom(s[pos+nuls:], crs); ok {
					next = pos + nuls
					break
				}
				pos += len(refLine(s[pos:]))
			}
		}
		m.end = pos
		m.text = refText(lines, s[m.body:m.end], crs)
		headers = append(headers, lines)
		box.messages = append(box.messages, m)
		if next < 0 {
			break
		}
		pos = next
	}
	refUIDs(&box, s, headers)
	return box
}

// refHeader returns the lines of the header at pos without the blank one, where it ends,
// whether a blank line ends it, and where a From_ line after NULs does.
func refHeader(s string, pos, crs int) (lines []refHeaderLine, end int, blank bool, next int) {
	hidden := false
nextLine:
	for pos < len(s) {
		line := refLine(s[pos:])
		if refBlank(line, crs) {
			return lines, pos + len(line), true, -1
		}
		add := func(line string) {
			if line == "" {
				return
			}
			sent := strings.ReplaceAll(line, "\r", "") // as UW sends it
			hidden = hidden && strings.HasPrefix(strings.Replace(sent, "\t", " ", 1), " ") || refInternal.MatchString(sent)
			lines = append(lines, refHeaderLine{line, hidden})
		}
		for i := 0; i < len(line); i++ {
			n := refNULs(line[i:])
			if n == 0 {
				continue
			}
			after := s[pos+i+n:]
			if _, ok := refFrom(after, crs); ok {
				add(line[:i])
				return lines, pos + i, false, pos + i + n
			}
			if refParsed.MatchString(after) {
				add(line[:i])
				pos += i + n
				continue nextLine
			}
			i += n - 1
		}
		add(line)
		pos += len(line)
	}
	return lines, pos, false, -1
}

var refName = regexp.MustCompile(`^[^: \t\n\x00]*\x00`)

func refText(lines []refHeaderLine, body string, crs int) string {
	var b strings.Builder
	text := func(s string) {
		s = strings.NewReplacer("\r", "", "\n", "\r\n", "\x00", "\x80").Replace(s)
		b.WriteString(s)
	}
	for _, l := range lines {
		if l.hidden {
			continue
		}
		if name := refName.FindString(l.text); name != "" {
			l.text = name[:len(name)-1] + " " + l.text[len(name):]
		}
		text(strings.TrimSuffix(l.text, "\n") + "\n")
	}
	text("\n")
	all := strings.SplitAfter(body, "\n")
	if n := len(all); n > 1 && all[n-1] == "" && refBlank(all[n-2], crs) {
		body = body[:len(body)-len(all[n-2])]
	}
	if body != "" {
		text(strings.TrimSuffix(body, "\n") + "\n")
	}
	return b.String()
}

var refBase = regexp.MustCompile(`^ *(\d+) *(\d+)?`)

// refUIDs drops pseudo-messages and gives UIDs, flags and keywords.
func refUIDs(box *refMailbox, s string, headers [][]refHeaderLine) {
	var kept []refMessage
	num := func(s string) (n uint64) {
		for _, c := range s {
			if c < '0' || c > '9' {
				break
			}
			n = min(10*n+uint64(c-'0'), 1<<50)
		}
		return n
	}
	value := func(l refHeaderLine) (name, v string) {
		l.text, _, _ = strings.Cut(l.text, "\x00")
		name, v, ok := strings.Cut(strings.TrimRight(l.text, "\r\n"), ":")
		if !ok || !l.hidden {
			return "", ""
		}
		return name, v
	}
	base := func(v string) (uint64, uint64, string, bool) {
		m := refBase.FindStringSubmatch(v)
		if m == nil || m[2] == "" || num(m[1]) == 0 {
			return 0, 0, "", false
		}
		return num(m[1]), num(m[2]), v[len(m[0]):], true
	}
	words := func(s string) []string {
		return slices.DeleteFunc(strings.Split(strings.ReplaceAll(s, "\r", " "), " "), func(w string) bool { return w == "" })
	}
	ximap := func(lines []refHeaderLine) uint64 {
		for _, l := range lines {
			if name, v := value(l); name == "X-IMAP" {
				if n, _, _, ok := base(v); ok {
					return n
				}
			}
		}
		return 0
	}
	first := func(lines []refHeaderLine, name string) string {
		for i, l := range lines {
			if len(l.text) > len(name) && strings.EqualFold(l.text[:len(name)+1], name+":") {
				v := l.text[len(name)+1:]
				for _, c := range lines[i+1:] {
					if c.text[0] != ' ' && c.text[0] != '\t' {
						break
					}
					v += c.text
				}
				return strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(v))
			}
		}
		return ""
	}
	isKnown := func(i int) bool {
		return first(headers[i], "Subject") == "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA"
	}
	count := uint64(len(headers)) // pseudo-messages too
	const top = 1<<30 - 1
	var validity, last, prev, recorded, keptUID uint64
	known, foreign := false, false
	usable := 0
	for i, lines := range headers {
		m := box.messages[i]
		uid := uint64(0)
		flags, recent := map[rune]bool{}, true
		bits := map[int]bool{}
		pseudo := false
		wasValidity, wasLast, wasPrev, wasKnown := validity, last, prev, known
		for _, l := range lines {
			name, v := value(l)
			switch name {
			case "Status", "X-Status":
				for _, c := range v {
					if c == 'O' {
						recent = false
					} else if strings.ContainsRune("RAFDT", c) {
						flags[c] = true
					}
				}
			case "X-Keywords":
				for _, w := range words(v) {
					for bit, k := range box.keywords[:usable] {
						if len(w) <= 50 && strings.EqualFold(k, w) && len(k) == len(w) {
							bits[bit] = true
							break
						}
					}
				}
			case "X-IMAP", "X-IMAPbase":
				v, l, list, ok := base(v)
				if !ok {
					break
				}
				if i == 0 && !known {
					pseudo = name == "X-IMAP"
					known, validity, last, recorded = true, v, l, l
					box.keywords, usable = nil, -1
					for j, w := range words(list) {
						if j == 30 {
							break
						}
						if len(w) > 50 {
							if usable < 0 {
								usable = len(box.keywords)
							}
							continue
						}
						box.keywords = append(box.keywords, w)
					}
					if usable < 0 {
						usable = len(box.keywords)
					}
					if last+count > top {
						known, validity, last, recorded, prev, uid = false, 0, 0, 0, 0, 0
					}
				} else if known && v != validity {
					foreign = true
					if uid > recorded {
						uid, prev, last = 0, wasPrev, max(wasLast, recorded)
					}
				}
			case "X-UID":
				n := num(strings.TrimLeft(v, " "))
				switch {
				case pseudo || !known:
				case foreign && (n <= prev || n > recorded || n == keptUID):
				case uid != 0 || n <= prev:
					known, uid = false, 0
				case n > last && (n-last > count || n+count > top):
				default:
					uid, prev, last = n, n, max(n, last)
				}
			}
		}
		drop := i > 0 && ximap(lines) > 0 && isKnown(i) && strings.HasPrefix(first(lines, "From"), "Mail System Internal Data") ||
			pseudo && (isKnown(i) || strings.HasPrefix(s[m.offset:], "From MAILER-DAEMON "))
		if drop {
			if i > 0 {
				validity, last, prev, known = wasValidity, wasLast, wasPrev, wasKnown
				foreign = foreign || known && ximap(lines) != validity
			}
			continue
		}
		if pseudo && known {
			limit := min(recorded+count, top-count)
			best := last
			for _, other := range headers {
				for _, l := range other {
					if name, v := value(l); name == "X-UID" {
						if n := num(strings.TrimLeft(v, " ")); n <= limit {
							best = max(best, n)
						}
					}
				}
			}
			uid, last, keptUID = best+1, best+1, best+1
		}
		if uid == 0 {
			last++
			uid, prev = last, last
		}
		m.uid = uint32(uid)
		for _, c := range "RAFDT" {
			if flags[c] {
				m.flags += string(c)
			}
		}
		if recent {
			m.flags += "r"
		}
		for bit, k := range box.keywords {
			if bits[bit] {
				m.flags += " " + k
			}
		}
		kept = append(kept, m)
	}
	box.messages = kept
	if known && validity < 1<<32 {
		box.validity = uint32(validity)
	}
	box.last = uint32(last)
}

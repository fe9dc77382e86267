package report

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote returns a name as people may safely see it in a terminal or log:
// itself if it is plain, else quoted with escapes.
func Quote(name string) string {
	if name == "" {
		return `""`
	}
	for _, c := range name {
		if c == utf8.RuneError || !unicode.IsPrint(c) || c == '"' || c == ' ' {
			return strconv.Quote(name)
		}
	}
	return name
}

// Printable returns text with everything that could steer a terminal escaped.
func Printable(text string) string {
	clean := true
	for _, c := range text {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			clean = false
			break
		}
	}
	if clean {
		return text
	}
	q := strconv.Quote(text)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

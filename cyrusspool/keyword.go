package cyrusspool

import "strings"

// Keyword returns what Cyrus can have of the name of a keyword: the name if it is an atom
// (lib/imparse.c, imparse_isatom), else with _ in place of each byte that is none of one. NIL
// is no word at all in cyrus.header (imap/imapparse.c, getxstring), in capitals; other programs
// may not mind them: it gets a _ behind it.
func Keyword(name string) string {
	b := []byte(name)
	for i, c := range b {
		if !keywordByte(c) {
			b[i] = '_'
		}
	}
	if strings.EqualFold(name, "NIL") {
		b = append(b, '_')
	}
	return string(b)
}

func keywordByte(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune(`(){%*"\]`, rune(c))
}

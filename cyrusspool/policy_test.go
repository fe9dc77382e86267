package cyrusspool

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// policyCheck is an independent judge of internal names, written from the rules of
// Cyrus 3's imap/mboxname.c, mboxname_policycheck, and of the other limits we promise.
// It shares no code with the mapping.
func policyCheck(name string, unixSep bool) error {
	if len(name) > 489 {
		return fmt.Errorf("%d bytes", len(name))
	}
	if domain, rest, virtual := strings.Cut(name, "!"); virtual {
		if err := CheckDomain(domain); err != nil {
			return err
		}
		name = rest
	}
	switch {
	case name == "", name == "user", name == "user.anyone", name == "user.anonymous":
		return fmt.Errorf("reserved name")
	case strings.ContainsAny(name[:1], ".~$"), strings.HasSuffix(name, "."), strings.Contains(name, ".."):
		return fmt.Errorf("dots, ~ or $ at an end")
	case strings.HasPrefix(name, "user.%"):
		return fmt.Errorf("user begins with %%")
	}
	for _, component := range strings.Split(name, ".") {
		if len(component) > 255 {
			return fmt.Errorf("component of %d bytes", len(component))
		}
	}
	const good = " #$'()*+,-.0123456789:=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdefghijklmnopqrstuvwxyz~"
	afterShift := false
	for i := 0; i < len(name); i++ {
		if name[i] != '&' {
			if !strings.Contains(good, name[i:i+1]) || name[i] == '*' {
				return fmt.Errorf("byte %q", name[i])
			}
			afterShift = false
			continue
		}
		end := strings.IndexByte(name[i:], '-')
		if end < 0 {
			return fmt.Errorf("unclosed shift")
		}
		if end > 1 {
			if afterShift {
				return fmt.Errorf("adjacent shifts")
			}
			if err := policyShift(name[i+1 : i+end]); err != nil {
				return err
			}
		}
		afterShift = end > 1
		i += end
	}
	// Beyond the policy: what IMAP users would see must be sane.
	visible := name
	if unixSep {
		visible = strings.ReplaceAll(strings.ReplaceAll(name, ".", "/"), "^", ".")
		for _, component := range strings.Split(visible, "/") {
			if component == "." || component == ".." {
				return fmt.Errorf("component %q", component)
			}
		}
	}
	components := strings.Split(name, ".")
	if len(components) > 2 && (strings.EqualFold(components[2], "INBOX") || strings.HasPrefix(components[2], "#calendars")) {
		return fmt.Errorf("reserved folder %q", components[2])
	}
	return nil
}

// policyShift checks the characters between "&" and "-", bit by bit.
func policyShift(code string) error {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,"
	bits, n := uint32(0), 0
	var units []uint16
	for _, c := range code {
		value := strings.IndexRune(alphabet, c)
		if value < 0 {
			return fmt.Errorf("shifted %q", c)
		}
		bits, n = bits<<6|uint32(value), n+6
		if n >= 16 {
			n -= 16
			units = append(units, uint16(bits>>n))
			bits &= 1<<n - 1
		}
	}
	if n >= 6 || bits != 0 {
		return fmt.Errorf("%d bits %b left in %q", n, bits, code)
	}
	for i := 0; i < len(units); i++ {
		if units[i]&0xff80 == 0 {
			return fmt.Errorf("shifted ASCII %#x", units[i])
		}
		if utf16.IsSurrogate(rune(units[i])) {
			i++
			if i == len(units) || utf16.DecodeRune(rune(units[i-1]), rune(units[i])) == '\ufffd' {
				return fmt.Errorf("half a surrogate pair")
			}
		}
	}
	return nil
}

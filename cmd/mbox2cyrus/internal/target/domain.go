package target

import (
	"fmt"
	"slices"
	"strings"

	"mbox2cyrus/cyrusspool"
)

// virtual reports whether a name may have a domain behind an "@" (virtdomains).
func (c *Cyrus) virtual() bool {
	switch c.settings["virtdomains"] {
	case "", "off", "no", "0", "false", "f", "n":
		return false
	}
	return true
}

// chooseDomain takes the virtual domain that the users are to have. Names of Cyrus never
// hold its default domain (imap/mboxname.c, mbname_from_userid).
func (c *Cyrus) chooseDomain(domain string) error {
	if domain == "" {
		return nil
	}
	domain = strings.ToLower(domain)
	if err := cyrusspool.CheckDomain(domain); err != nil {
		return fmt.Errorf("%w: --domain: %w", ErrConfig, err)
	}
	if !c.virtual() {
		return fmt.Errorf("%w: --domain %s: %s does not turn virtdomains on, so users have no domain there", ErrConfig, domain, c.IMAPDConf)
	}
	if domain != strings.ToLower(c.settings["defaultdomain"]) {
		c.Rules.Domain = domain
	}
	return nil
}

// operand returns the name of a mailbox as Cyrus's programs take it: where an "@" could
// begin a domain, that of the default domain is named too. They print it without.
func (c *Cyrus) operand(name cyrusspool.Name) string {
	external := name.External(c.Rules.Separator())
	if domain := c.settings["defaultdomain"]; domain != "" && c.virtual() &&
		!strings.Contains(string(name), "!") && strings.Contains(external, "@") {
		return external + "@" + domain
	}
	return external
}

// AltNamespace reports whether clients see a user's folders beside INBOX and not below it.
func (c *Cyrus) AltNamespace() bool {
	return slices.Contains([]string{"yes", "on", "1", "t", "true"}, c.settings["altnamespace"])
}

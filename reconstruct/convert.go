package reconstruct

import (
	"context"
	"fmt"
	"path/filepath"
)

// ConvertDB puts the records of one of Cyrus's databases into another one, which
// is made if it is not there (cvt_cyrusdb, from 2.2). Records of other keys stay
// there; one of the same key is replaced. Both paths are absolute; the backends
// are as in imapd.conf: "flat", "skiplist", "twoskip".
//
// That it exits with 0 proves nothing: read what was to be there.
func (p *Programs) ConvertDB(ctx context.Context, from, fromBackend, to, toBackend string) error {
	for _, path := range []string{from, to} {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("convert database: %q is not an absolute path", path)
		}
	}
	for _, backend := range []string{fromBackend, toBackend} {
		if !word(backend) {
			return fmt.Errorf("convert database: backend %q is not a word", backend)
		}
	}
	if _, err := p.run(ctx, call{program: "cvt_cyrusdb", names: []string{from, fromBackend, to, toBackend}}); err != nil {
		return fmt.Errorf("convert database %s: %w", from, err)
	}
	return nil
}

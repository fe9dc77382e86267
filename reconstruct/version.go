package reconstruct

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// cyr_info version prints "cyrus-imapd 3.6.1-Debian-3.6.1-4+deb12u5".
var versionLine = regexp.MustCompile(`^cyrus-imapd (\d+(?:\.\d+)+)`)

// Version returns the release of the programs, such as "3.6.1", or "" when
// they do not say: cyr_info came with 2.5 and learnt to tell its version in
// 3.4 (Cyrus imap/cyr_info.c).
func (p *Programs) Version(ctx context.Context) (string, error) {
	var version string
	out := &lines{each: func(line string) {
		if m := versionLine.FindStringSubmatch(line); m != nil && version == "" {
			version = m[1]
		}
	}}
	_, err := p.run(ctx, call{program: "cyr_info", args: []string{"version"}, stdout: out})
	out.close()
	var exit *ExitError
	switch {
	case errors.Is(err, ErrNoProgram):
		return "", nil
	case errors.As(err, &exit) && exit.Code > 0 && exit.cause == nil && usage(exit.Stderr):
		return "", nil
	case err != nil:
		return "", err
	}
	return version, nil
}

// usage reports whether a program said that it does not know what was asked
// of it.
func usage(stderr string) bool {
	s := strings.ToLower(stderr)
	return strings.Contains(s, "usage:") || strings.Contains(s, "invalid option") ||
		strings.HasPrefix(s, "cyr_info [-") // 2.5 and 3.0, without the word
}

// Settings returns every setting of imapd.conf as Cyrus understands it, with
// its defaults for those that are not written there (cyr_info conf-all, from
// 2.5; the error wraps [ErrNoProgram] before). Switches are "yes" and "no".
func (p *Programs) Settings(ctx context.Context) (map[string]string, error) {
	pr, pw := io.Pipe()
	type result struct {
		settings map[string]string
		err      error
	}
	done := make(chan result, 1)
	go func() {
		settings, err := parseSettings(pr)
		pr.CloseWithError(err)
		done <- result{settings, err}
	}()
	_, err := p.run(ctx, call{program: "cyr_info", args: []string{"conf-all"}, stdout: pw})
	pw.Close()
	r := <-done
	if err := errors.Join(err, r.err); err != nil {
		return nil, err
	}
	return r.settings, nil
}

// maxSettings bounds the number of settings that are kept: Cyrus 3.12 has 450,
// and each partition and service may add its own.
const maxSettings = 100_000

func parseSettings(r io.Reader) (map[string]string, error) {
	settings := make(map[string]string)
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		key, value, ok := strings.Cut(s.Text(), ":")
		if !ok || key == "" {
			return nil, fmt.Errorf("cyr_info conf-all: line %q has no value", clip(s.Text()))
		}
		if len(settings) == maxSettings {
			return nil, fmt.Errorf("cyr_info conf-all: more than %d settings", maxSettings)
		}
		settings[key] = strings.TrimPrefix(value, " ")
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("cyr_info conf-all: %w", err)
	}
	return settings, nil
}

// clip shortens a line of output for a message.
func clip(s string) string {
	const most = 1 << 10
	if len(s) > most {
		return s[:most] + clipMark
	}
	return s
}

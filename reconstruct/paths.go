package reconstruct

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// A Path says where the files of one mailbox and of its owner are. All are
// absolute. What a release does not tell is "".
type Path struct {
	// Internal is the mailbox's internal name (from 3.6).
	Internal string
	// Data holds the messages.
	Data string
	// Meta holds cyrus.header, cyrus.index and cyrus.cache, unless a
	// metapartition_files setting leaves one of them in Data.
	Meta string
	// Archive holds archived messages (from 3.0); the same as Data where no
	// archive partition is set.
	Archive string
	// The owner's files (from 3.6): \Seen state of others' mailboxes,
	// subscriptions, counters, conversations, and the directory of scripts.
	Seen, Sub, Counters, Conversations, Sieve string
	// UserDir is the directory that holds the owner's files, named after him
	// (3.2 and 3.4, which do not name the files one by one).
	UserDir string
}

// Paths asks Cyrus where mailboxes are (mbpath). The names are external and so
// are the keys of the answer. A mailbox that is not in mailboxes.db is not in
// the answer.
func (p *Programs) Paths(ctx context.Context, names []string) (map[string]Path, error) {
	for _, name := range names {
		if err := checkName(name); err != nil {
			return nil, fmt.Errorf("path of mailbox: %w", err)
		}
	}
	paths := make(map[string]Path, len(names))
	for _, batch := range batches(names) {
		if p.tell != nil {
			if _, _, err := p.mbpath(ctx, askJSON, batch); err != nil {
				return nil, fmt.Errorf("path of mailbox: %w", err)
			}
			continue
		}
		found, err := p.pathsJSON(ctx, batch)
		if errors.Is(err, ErrOption) {
			found, err = p.pathsAll(ctx, batch)
		}
		if errors.Is(err, ErrOption) {
			found, err = p.pathsPlain(ctx, batch)
		}
		if err != nil {
			return nil, fmt.Errorf("path of mailbox: %w", err)
		}
		for name, path := range found {
			paths[name] = path
		}
	}
	return paths, nil
}

// jsonPath is the answer for one mailbox (Cyrus imap/mbpath.c, print_json).
type jsonPath struct {
	Data    string `json:"data"`
	Meta    string `json:"meta"`
	Archive string `json:"archive"`
	Mbname  struct {
		Internal string `json:"intname"`
	} `json:"mbname"`
	User struct {
		Seen          string `json:"seen"`
		Sub           string `json:"sub"`
		Counters      string `json:"counters"`
		Conversations string `json:"conversations"`
		Sieve         string `json:"sieve"`
	} `json:"user"`
}

// askJSON are the options that are tried first. Without -7 a name would be taken as
// UTF-8, and its "&" as itself.
var askJSON = []string{"-j", "-7"}

func (p *Programs) pathsJSON(ctx context.Context, names []string) (map[string]Path, error) {
	out, invalid, err := p.mbpath(ctx, askJSON, names)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	var found []Path
	for {
		var jp jsonPath
		err := dec.Decode(&jp)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("mbpath -j: %w", err)
		}
		found = append(found, Path{
			Internal:      jp.Mbname.Internal,
			Data:          jp.Data,
			Meta:          jp.Meta,
			Archive:       jp.Archive,
			Seen:          jp.User.Seen,
			Sub:           jp.User.Sub,
			Counters:      jp.User.Counters,
			Conversations: jp.User.Conversations,
			Sieve:         jp.User.Sieve,
		})
	}
	return pair(names, invalid, found)
}

// pathsAll reads "Data: /spool/user/joe" and the like, five lines for each
// mailbox (Cyrus imap/mbpath.c of 3.2 and 3.4, option -a).
func (p *Programs) pathsAll(ctx context.Context, names []string) (map[string]Path, error) {
	out, invalid, err := p.mbpath(ctx, []string{"-a"}, names)
	if err != nil {
		return nil, err
	}
	var found []Path
	var last map[string]bool // of the block that is being read
	for line := range strings.Lines(string(out)) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok {
			return nil, fmt.Errorf("mbpath -a: line %q", clip(line))
		}
		if last[key] || last == nil {
			found, last = append(found, Path{}), map[string]bool{}
		}
		last[key] = true
		path := &found[len(found)-1]
		switch key {
		case "Archive":
			path.Archive = value
		case "Data":
			path.Data = value
		case "Meta":
			path.Meta = value
		case "Sieve":
			path.Sieve = value
		case "User":
			path.UserDir = value
		}
	}
	return pair(names, invalid, found)
}

// pathsPlain asks twice, as before 3.2 a run prints either directory. Up to 2.2
// there is one only.
func (p *Programs) pathsPlain(ctx context.Context, names []string) (map[string]Path, error) {
	var found []Path
	var unknown map[string]bool
	for _, meta := range []bool{false, true} {
		var options []string
		if meta {
			options = []string{"-m"}
		}
		out, invalid, err := p.mbpath(ctx, options, names)
		if meta && errors.Is(err, ErrOption) {
			for i := range found {
				found[i].Meta = found[i].Data
			}
			break
		}
		if err != nil {
			return nil, err
		}
		dirs := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		if len(out) == 0 {
			dirs = nil
		}
		if !meta {
			unknown = invalid
			for _, dir := range dirs {
				found = append(found, Path{Data: dir})
			}
			continue
		}
		if len(dirs) != len(found) {
			return nil, fmt.Errorf("mbpath gave %d data and %d meta directories", len(found), len(dirs))
		}
		for i, dir := range dirs {
			found[i].Meta = dir
		}
	}
	return pair(names, unknown, found)
}

// pair joins the names that mbpath did not call invalid with its answers,
// which come in the order of the names.
func pair(names []string, invalid map[string]bool, found []Path) (map[string]Path, error) {
	paths := make(map[string]Path, len(found))
	i := 0
	for _, name := range names {
		if invalid[name] {
			continue
		}
		if i == len(found) {
			return nil, fmt.Errorf("mbpath said nothing of %q", name)
		}
		path := found[i]
		i++
		for _, dir := range []string{path.Data, path.Meta} {
			// A remote mailbox is answered with "server!partition".
			if !filepath.IsAbs(dir) {
				return nil, fmt.Errorf("mbpath answered %q for %q, which is no directory", dir, name)
			}
		}
		paths[name] = path
	}
	if i != len(found) {
		return nil, fmt.Errorf("mbpath gave %d answers for %d mailboxes", len(found), i)
	}
	return paths, nil
}

// maxPaths bounds the answer for one batch of names: an answer has some 2 kB.
const maxPaths = 32 << 20

// mbpath runs mbpath and returns its answers and the names that it does not
// know. It exits with another status than 0 when the last name, or with old
// releases any name, is unknown; that is no error.
func (p *Programs) mbpath(ctx context.Context, options, names []string) ([]byte, map[string]bool, error) {
	out := &limited{most: maxPaths}
	invalid := make(map[string]bool)
	var other []string
	says := &lines{each: func(line string) {
		name, ok := invalidName(line)
		switch {
		case ok:
			invalid[name] = true
		case line != "" && len(other) < 10:
			other = append(other, clip(line))
		}
	}}
	_, err := p.run(ctx, call{program: "mbpath", args: options, names: names, stdout: out, stderr: says})
	says.close()
	var exit *ExitError
	if errors.As(err, &exit) && exit.Signal == 0 && exit.cause == nil {
		// Names come from users and may hold any word; with an option that it
		// does not know, it comes to no name.
		if len(invalid) == 0 && usage(exit.Stderr) {
			return nil, nil, fmt.Errorf("mbpath %s: %w", strings.Join(options, " "), ErrOption)
		}
		if len(invalid) > 0 && len(other) == 0 {
			err = nil
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if len(other) > 0 {
		return nil, nil, fmt.Errorf("mbpath: %q", strings.Join(other, "\n"))
	}
	return out.Bytes(), invalid, nil
}

// invalidName reads "Invalid mailbox name: 'user/zed'", before 3.6 without
// quotes, from 3.6 on with the name as Cyrus would spell it behind, when that
// is another: " ('user/Zed')".
func invalidName(line string) (string, bool) {
	name, ok := strings.CutPrefix(line, "Invalid mailbox name: ")
	if !ok {
		return "", false
	}
	if quoted, ok := strings.CutPrefix(name, "'"); ok {
		if i := strings.Index(quoted, "' ('"); i >= 0 && strings.HasSuffix(quoted, "')") {
			return quoted[:i], true
		}
		if asked, ok := strings.CutSuffix(quoted, "'"); ok {
			return asked, true
		}
	}
	return name, true
}

// limited is a buffer that refuses to grow beyond its limit.
type limited struct {
	bytes.Buffer
	most int
}

func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > l.most {
		return 0, fmt.Errorf("more than %d bytes", l.most)
	}
	return l.Buffer.Write(b)
}

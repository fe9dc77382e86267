package plan

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// ErrPerUser is wrapped by every error of a file that gives users a value. Each names
// its line.
var ErrPerUser = errors.New("file of users")

// PerUser is a value for each of some users, by login on the UW host.
type PerUser map[string]string

// ReadPerUser reads a file of two columns, login and value, separated by commas (CSV,
// RFC 4180). Lines that begin with "#" and a first line "user,…" are not read.
func ReadPerUser(path string) (PerUser, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPerUser, err)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // spreadsheets put it there
	r := csv.NewReader(bytes.NewReader(data))
	r.Comment = '#'
	r.FieldsPerRecord = 2
	r.TrimLeadingSpace = true
	values := PerUser{}
	for n := 0; ; n++ {
		fields, err := r.Read()
		if err == io.EOF {
			return values, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w %s: %w", ErrPerUser, path, err)
		}
		line, _ := r.FieldPos(0)
		user, value := strings.TrimSpace(fields[0]), strings.TrimSpace(fields[1])
		switch _, twice := values[user]; {
		case n == 0 && strings.EqualFold(user, "user"):
			continue
		case user == "" || value == "" || !utf8.ValidString(value):
			return nil, fmt.Errorf("%w %s:%d: a login and a value are wanted", ErrPerUser, path, line)
		case twice:
			return nil, fmt.Errorf("%w %s:%d: %q is there twice", ErrPerUser, path, line, user)
		}
		values[user] = value
	}
}

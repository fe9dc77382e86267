package plan

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadPerUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map.csv")
	for _, tt := range []struct {
		text string
		want PerUser
		says string
	}{
		{"\ufeffuser,partition\r\n# large ones\r\njoe, fast\r\n\"ann\",slow\r\n", PerUser{"joe": "fast", "ann": "slow"}, ""},
		{"", PerUser{}, ""},
		{"joe,fast\nuser,slow\n", PerUser{"joe": "fast", "user": "slow"}, ""},
		{"joe,fast\n#\njoe,slow\n", nil, ":3: \"joe\" is there twice"},
		{"joe\n", nil, "line 1"},
		{"joe,a,b\n", nil, "line 1"},
		{"x,y\njoe,\n", nil, ":2: a login and a value"},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadPerUser(path)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q: %s", tt.text, diff)
		}
		if tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, ErrPerUser) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.says)
		}
	}
}

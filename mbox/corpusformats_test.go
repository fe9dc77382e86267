package mbox

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mbox2cyrus/internal/cclient"
)

// TestCorpusInEveryFormat has UW's mailutil copy real folders into mailboxes of every
// format that it can write, and holds our readers to what c-client shows of them.
func TestCorpusInEveryFormat(t *testing.T) {
	dir := filepath.Join(sharedDir(t), "corpus")
	data, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var folders map[string]corpusFolder
	if err := json.Unmarshal(data, &folders); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, f := range folders {
		if f.Driver == "unix" && f.Messages > 0 && f.Messages <= 60 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	const most = 12
	for step := (len(names) + most - 1) / most; len(names) > most; {
		var some []string
		for i := 0; i < len(names); i += step {
			some = append(some, names[i])
		}
		names = some
	}
	c := cclient.New(t)
	if err := os.Mkdir(c.Path("src"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.Give(t, c.Path("src"))
	compared := map[Format]int{}
	for n, name := range names {
		file, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		src := "src/" + string(rune('a'+n))
		c.Write(t, src, file)
		for _, format := range []Format{FormatMBX, FormatMix, FormatMX, FormatMTX, FormatTenex, FormatMMDF, FormatUnix} {
			dst := string(format) + string(rune('a'+n))
			c.Mailutil(t, "copy", src, "#driver."+string(format)+"/"+dst)
			got, said := c.Read(t, dst)
			want := got[0]
			if want.Driver != string(format) || len(want.Messages) == 0 {
				t.Fatalf("%s: mailutil made %d messages in %q format; %s", name, len(want.Messages), want.Driver, said)
			}
			res, err := collect(Options{Location: newYork(t), ModTime: fileTime}, always, func(o Options) (Mailbox, error) {
				f, err := OpenFolder(c.Path(dst))
				if err != nil {
					return nil, err
				}
				t.Cleanup(func() { f.Close() })
				return f.Mailbox(o)
			})
			if err != nil {
				t.Fatalf("%s in %s format: %v", name, format, err)
			}
			t.Run(strings.ReplaceAll(name, "/", "_")+"-"+string(format), func(t *testing.T) { checkUW(t, want, &res, nil) })
			compared[format] += len(want.Messages)
		}
	}
	t.Logf("messages compared by format: %v", compared)
}

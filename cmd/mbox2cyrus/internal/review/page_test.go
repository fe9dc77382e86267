package review

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// luminance of a colour #rrggbb, as WCAG 2 has it.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 24)
	if err != nil {
		t.Fatal(err)
	}
	part := func(shift int) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}

// TestContrast: every text of the page stands out from what it is on, light and dark, as
// WCAG 2 wants of text (4.5 to 1), and every bar as it wants of graphics (3 to 1).
func TestContrast(t *testing.T) {
	palettes := regexp.MustCompile(`:root \{[^}]*\}`).FindAllString(pageStyle, -1)
	if len(palettes) != 2 {
		t.Fatalf("page.css has %d palettes, not one for light and one for dark", len(palettes))
	}
	for i, palette := range palettes {
		colours := map[string]string{}
		for _, m := range regexp.MustCompile(`--(\w+): (#[0-9a-f]{6})`).FindAllStringSubmatch(palette, -1) {
			colours[m[1]] = m[2]
		}
		for _, name := range []string{"fg", "soft", "proved", "attention", "unfinished", "failed", "difference", "bar"} {
			least := 4.5
			if name == "bar" {
				least = 3
			}
			for _, under := range []string{"bg", "panel"} {
				a, b := luminance(t, colours[name]), luminance(t, colours[under])
				if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < least {
					t.Errorf("palette %d: %s %s on %s %s: contrast %.2f, less than %v", i, name, colours[name], under, colours[under], ratio, least)
				}
			}
		}
	}
}

// looker has the page in a frame, does to it what a person does, and writes down what is
// then to be seen.
const looker = `<!DOCTYPE html><body style="margin:0"><iframe src="page.html" style="border:0;display:block;width:%dpx;height:800px"></iframe><pre></pre><script>
"use strict";
const frame = document.querySelector("iframe");
frame.onload = () => {
  const view = frame.contentWindow, page = frame.contentDocument, seen = {};
  const table = page.getElementById("users"), head = table.tHead.rows[0];
  const shown = () => Array.from(table.tBodies[0].rows).filter(row => row.offsetHeight > 0);
  const column = name => Array.from(head.cells).findIndex(th => th.textContent === name);
  const values = name => shown().map(row => row.cells[column(name)].textContent);
  seen.wider = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  const bars = shown().map(row => row.querySelector(".bar i").getBoundingClientRect().width / row.querySelector(".bar").clientWidth);
  seen.bars = [Math.min(...bars), Math.max(...bars)];
  // Names of users and hosts that stand in more than one line.
  seen.broken = Array.from(page.querySelectorAll("td > span")).filter(e => e.textContent.length < 30 && e.getBoundingClientRect().height > 30).map(e => e.textContent);
  const [words, state] = page.querySelectorAll("#filter input, #filter select"), told = page.querySelector("#filter output");
  const filter = (w, s) => { words.value = w; state.value = s; words.dispatchEvent(new Event("input")); return [told.textContent, shown().length]; };
  seen.all = filter("", "");
  seen.word = filter("USER001", "");
  seen.both = filter("user001", "unfinished");
  filter("", "");
  const click = name => head.cells[column(name)].querySelector("button").click();
  click("messages");
  seen.down = values("messages").slice(0, 3);
  click("messages");
  seen.up = values("messages").slice(0, 3);
  click("user");
  seen.users = values("user").slice(0, 2);
  view.scrollTo(0, table.getBoundingClientRect().top + 5000);
  seen.head = head.cells[0].getBoundingClientRect().top;
  document.querySelector("pre").textContent = JSON.stringify(seen);
};
</script>`

// TestPageInBrowser opens the page of a host of many users in a browser, on a desk and on
// a telephone.
func TestPageInBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skipf("no browser: %v (on Debian: chromium)", err)
	}
	r := load(t, "north")
	r.Users = nil
	const users = 1200
	for i := range users {
		u := &User{Host: "north", Name: ledger.RawName(fmt.Sprintf("user%04d", i)), State: Proved, Messages: int64(i) * 1000, Bytes: int64(i) * 1_000_000}
		if i%2 == 0 {
			u.State = Unfinished
		}
		r.Users = append(r.Users, u)
	}
	r.Users[7].Name = ledger.RawName(strings.Repeat("averylongname", 20))
	long := strings.Repeat("averylongfolder", 20)
	r.Names = []Rename{{Host: "north", User: "oddnames", Old: ledger.RawName(long), New: long, Why: strings.Repeat("characters that Cyrus refuses ", 10)},
		{Host: "north", User: ledger.RawName(strings.Repeat("longlogin", 3)), Old: "a", New: "b", Why: "why"}}
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var page strings.Builder
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	write("page.html", page.String())
	for name, width := range map[string]int{"desk": 1280, "telephone": 390} {
		write(name+".html", fmt.Sprintf(looker, width))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		// The profile is the test's; there is no sandbox for root. Files count as one site only
		// when that is allowed.
		out, err := exec.CommandContext(ctx, chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
			"--user-data-dir="+filepath.Join(dir, "profile"), "--window-size=1280,900", "--virtual-time-budget=20000", "--dump-dom",
			"file://"+filepath.Join(dir, name+".html")).Output()
		if ctx.Err() != nil {
			t.Fatalf("%s: the browser never came to an end: %v", name, err)
		}
		if err != nil {
			t.Skipf("the browser does not run here: %v", err)
		}
		m := regexp.MustCompile(`(?s)<pre>(.*?)</pre>`).FindSubmatch(out)
		if m == nil || len(m[1]) == 0 {
			t.Fatalf("%s: the page's script did not come to its end:\n%.2000s", name, out)
		}
		var seen struct {
			Wider, Head             float64
			Bars                    []float64
			All, Word, Both         []any
			Down, Up, Users, Broken []string
		}
		if err := json.Unmarshal([]byte(html.UnescapeString(string(m[1]))), &seen); err != nil {
			t.Fatal(err)
		}
		if seen.Wider > 0 {
			t.Errorf("%s: the page is %v pixels wider than the window", name, seen.Wider)
		}
		if len(seen.Broken) > 0 {
			t.Errorf("%s: names are broken into lines: %q", name, seen.Broken)
		}
		if len(seen.Bars) != 2 || seen.Bars[0] != 0 || seen.Bars[1] < 0.5 || seen.Bars[1] > 1 {
			t.Errorf("%s: bars from %v of their column", name, seen.Bars)
		}
		for what, got := range map[string][]any{"1\u202f200 of 1\u202f200 shown 1200": seen.All, "10 of 1\u202f200 shown 10": seen.Word, "5 of 1\u202f200 shown 5": seen.Both} {
			if have := strings.Trim(fmt.Sprintln(got...), "\n"); have != what {
				t.Errorf("%s: the filter says %q, want %q", name, have, what)
			}
		}
		if want := []string{"1\u202f199\u202f000", "1\u202f198\u202f000", "1\u202f197\u202f000"}; !slices.Equal(seen.Down, want) {
			t.Errorf("%s: sorted down: %q, want %q", name, seen.Down, want)
		}
		if want := []string{"0", "1\u202f000", "2\u202f000"}; !slices.Equal(seen.Up, want) {
			t.Errorf("%s: sorted up: %q, want %q", name, seen.Up, want)
		}
		if len(seen.Users) != 2 || !strings.HasPrefix(seen.Users[0], "avery") || seen.Users[1] != "user0000" {
			t.Errorf("%s: sorted by name: %q", name, seen.Users)
		}
		if name == "desk" && (seen.Head < 0 || seen.Head > 1) {
			t.Errorf("%s: among the users the heads of columns are at %v pixels, out of sight", name, seen.Head)
		}
	}
}

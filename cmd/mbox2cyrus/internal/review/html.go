package review

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/internal/plural"
)

//go:embed page.html
var pageText string

//go:embed page.js
var pageScript string

//go:embed page.css
var pageStyle string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"size":  size,
	"when":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"name":  func(s any) string { return report.Quote(fmt.Sprint(s)) },
	"text":  report.Printable,
	"speed": speed,
	"plural": func(n int64, what string) string {
		return thousands(n) + strings.TrimPrefix(plural.Count(n, what), itoa(n))
	},
	"seconds": func(s float64) string {
		return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
	},
	"thousands": thousands,
}).Parse(pageText))

// thousands writes a large number for people; the page's script knows this form.
func thousands(n int64) string {
	s := itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// view is what the page shows.
type view struct {
	*Review
	Style  template.CSS
	Script template.JS
	Policy string // what the page may load and run: nothing but its own script
	Max    int64  // bytes of the largest user
	Charts []chart
}

// WriteHTML writes one page that needs nothing else: no other file is loaded, and it can
// be read without its script.
func (r *Review) WriteHTML(w io.Writer) error {
	sum := sha256.Sum256([]byte(pageScript))
	v := view{Review: r, Style: template.CSS(pageStyle), Script: template.JS(pageScript),
		Policy: "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"}
	for _, u := range r.Users {
		v.Max = max(v.Max, u.Bytes)
	}
	for _, h := range r.Hosts {
		v.Charts = append(v.Charts, h.charts()...)
	}
	return page.Execute(w, v)
}

// Bar is the length of a user's bar in hundredths, by the logarithm of his bytes: 100 is
// the largest user, 0 is a kilobyte. Sizes of mailboxes differ by powers of ten.
func (v view) Bar(u *User) string {
	const least = 1000
	if u.Bytes <= least || v.Max <= least {
		return "0"
	}
	return fmt.Sprintf("%.1f", 100*math.Log(float64(u.Bytes)/least)/math.Log(float64(v.Max)/least))
}

// Several reports whether there is more than one host.
func (v view) Several() bool { return len(v.Hosts) > 1 }

// Explanation of each state, shown beside its number.
func (v view) Explain(s State) string {
	return map[State]string{Proved: "arrived and proved", Attention: "arrived, but need a person", Unfinished: "a run was cut off, or undone",
		Failed: "not migrated", Differs: "Cyrus does not hold what the source holds"}[s]
}

// AllStates are the states that users can be in.
func (v view) AllStates() []State { return States }

// Where is the place of a problem in its file.
func (p Problem) Where() string {
	if p.Offset == nil {
		return ""
	}
	if p.Line > 0 {
		return fmt.Sprintf("%d (line %d)", *p.Offset, p.Line)
	}
	return itoa(*p.Offset)
}

// Unlisted is how many problems of the kind the page does not list.
func (k *Kind) Unlisted() int64 {
	n := k.Count
	for _, p := range k.Listed {
		n -= p.Count
	}
	return n
}

// chart is the throughput of one run as an SVG path.
type chart struct {
	Host     string
	Run      Run
	Path     string // of the area, in a box of chartWidth by chartHeight
	Peak     string // bytes a second
	Messages string // a second, at the peak of those
}

const (
	chartWidth  = 1000
	chartHeight = 120
	maxColumns  = 250 // of a chart: samples that lie closer are put together
)

// charts draws the runs that read anything.
func (h *Host) charts() (all []chart) {
	for i, run := range h.Runs {
		var points []Point
		for _, p := range h.Timeline {
			if p.Run == i {
				points = append(points, p)
			}
		}
		if run.Read > 0 && run.Seconds > 0 && len(points) > 0 {
			all = append(all, draw(h.Name, run, points))
		}
	}
	return all
}

// draw puts points into columns of equal time and draws the bytes a second of each.
func draw(host string, run Run, points []Point) chart {
	end := points[len(points)-1].To.Sub(run.Start).Seconds()
	columns := min(maxColumns, len(points))
	width := end / float64(columns)
	bytes, messages := make([]float64, columns), make([]float64, columns)
	for _, p := range points {
		from, to := p.From.Sub(run.Start).Seconds(), p.To.Sub(run.Start).Seconds()
		for c := int(from / width); c < columns && float64(c)*width < to; c++ {
			share := (min(to, float64(c+1)*width) - max(from, float64(c)*width)) / (to - from)
			bytes[c] += max(0, share) * float64(p.Bytes)
			messages[c] += max(0, share) * float64(p.Messages)
		}
	}
	peak, peakMessages := 0.0, 0.0
	for c := range bytes {
		peak, peakMessages = max(peak, bytes[c]/width), max(peakMessages, messages[c]/width)
	}
	var path strings.Builder
	fmt.Fprintf(&path, "M0,%d", chartHeight)
	for c := range bytes {
		y := float64(chartHeight)
		if peak > 0 {
			y *= 1 - bytes[c]/width/peak
		}
		fmt.Fprintf(&path, "L%.1f,%.1fL%.1f,%.1f", float64(c)*chartWidth/float64(columns), y, float64(c+1)*chartWidth/float64(columns), y)
	}
	fmt.Fprintf(&path, "L%d,%dZ", chartWidth, chartHeight)
	return chart{Host: host, Run: run, Path: path.String(), Peak: size(int64(peak)) + "/s", Messages: fmt.Sprintf("%.0f", math.Ceil(peakMessages))}
}

// Problems is how many problems there are of the user, notes included.
func (u *User) Problems() int64 { return u.Notes + u.Attentions + u.Failures + u.Diffs }

package review

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/internal/plural"
)

// textUsers and textListed bound what a text lists; CSV and JSON have everything.
const (
	textUsers  = 200
	textListed = 20
)

// WriteText writes what people read in a terminal or a mail: no line needs more than the
// names and texts in it do.
func (r *Review) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w) // it keeps its first error for Flush
	t := r.Totals
	fmt.Fprintf(b, "%s, %s, %s: %s, %d of them verified; %s, %s held\n", plural.Count(t.Hosts, "host"), plural.Count(t.Users, "user"), plural.Count(t.Folders, "folder"),
		plural.Count(t.Messages, "message"), t.Verified, size(t.Bytes), plural.Count(t.Held, "item"))
	fmt.Fprintf(b, "users:")
	for _, s := range States {
		fmt.Fprintf(b, " %s %d", s, t.ByState[s])
	}
	fmt.Fprintf(b, "\n%s\n", r.Verdict())
	for _, h := range r.Hosts {
		h.text(b)
	}
	r.textUsers(b)
	r.textProblems(b)
	if len(r.Names) > 0 {
		fmt.Fprintf(b, "\nFolders that users find under another name: %d\n", len(r.Names))
		for i, n := range r.Names {
			if i == textUsers {
				fmt.Fprintf(b, "  … and %d more; --format csv --table names has all\n", len(r.Names)-i)
				break
			}
			fmt.Fprintf(b, "  %s: %s -> %s: %s\n", report.Quote(string(n.User)), report.Quote(string(n.Old)), report.Quote(n.New), report.Printable(n.Why))
		}
	}
	if t.POP3Users > 0 {
		fmt.Fprintf(b, "\nPOP3 clients that leave mail on the server fetch up to %s of %s again, %s\n", plural.Count(t.POP3Messages, "message"), plural.Count(t.POP3Users, "user"), size(t.POP3Bytes))
	}
	r.textHeld(b)
	fmt.Fprintf(b, "\nSHA-256 of %s, which made this report: %s\n", report.Printable(r.Program), r.Binary)
	return b.Flush()
}

func (r *Review) textHeld(b *bufio.Writer) {
	if len(r.Held) > 0 {
		fmt.Fprintf(b, "\nHeld: %s, %s\n", plural.Count(r.Totals.Held, "item"), size(r.Totals.HeldBytes))
	}
	for i, held := range r.Held {
		if i == textUsers {
			fmt.Fprintf(b, "  … and %d more; --format json has all\n", len(r.Held)-i)
			break
		}
		fmt.Fprintf(b, "  %s: %s: %s, %s\n", report.Quote(string(held.User)), report.Quote(string(held.Folder)), plural.Count(held.Items, "item"), size(held.Bytes))
	}
}

func (h *Host) text(b *bufio.Writer) {
	fmt.Fprintf(b, "\nHost %s (%s): %s", report.Quote(h.Name), report.Quote(h.Dir), h.State)
	if h.Why != "" {
		fmt.Fprintf(b, ": %s", h.Why)
	}
	fmt.Fprintln(b)
	for _, run := range h.Runs {
		end := fmt.Sprintf("exit code %d", run.ExitCode)
		if run.ExitCode < 0 {
			end = "cut off, or going on"
		}
		fmt.Fprintf(b, "  %s  %s%s%s: %.1f s, %s, %s\n", run.Start.UTC().Format(time.RFC3339), run.Command, before(" --level ", run.Level), before(" --shard ", run.Shard),
			run.Seconds, speed(run.Read, run.Seconds), end)
	}
	fmt.Fprintf(b, "  SHA-256 of the ledger (%d bytes): %s\n", h.Digests.LedgerBytes, h.Digests.Ledger)
	fmt.Fprintf(b, "  SHA-256 of the manifests (%d files, %d bytes): %s\n", h.Digests.ManifestFiles, h.Digests.ManifestBytes, h.Digests.Manifests)
	if h.Digests.Plan != "" {
		fmt.Fprintf(b, "  SHA-256 of the plan %s: %s\n", report.Quote(h.Digests.Plan), h.Digests.PlanSHA256)
	}
	if h.Digests.Binary != "" {
		fmt.Fprintf(b, "  SHA-256 of the program that migrated: %s\n", h.Digests.Binary)
	}
}

func before(what, text string) string {
	if text == "" {
		return ""
	}
	return what + text
}

func (r *Review) textUsers(b *bufio.Writer) {
	listed := int64(0)
	for _, u := range r.Users {
		if u.State == Proved {
			continue
		}
		if listed == 0 {
			fmt.Fprintf(b, "\nUsers who need a person:\n")
		}
		if listed++; listed > textUsers {
			continue
		}
		fmt.Fprintf(b, "  %-12s %s: %d of %s verified; %s, %s, %s\n", u.State, u.title(r), u.Verified, plural.Count(u.Messages, "message"),
			plural.Count(u.Attentions, "attention"), plural.Count(u.Failures, "failure"), plural.Count(u.Diffs, "difference"))
	}
	if listed > textUsers {
		fmt.Fprintf(b, "  … and %d more; --format csv has all\n", listed-textUsers)
	}
}

// title names a user, with his host where there are several.
func (u *User) title(r *Review) string {
	if len(r.Hosts) > 1 {
		return report.Quote(string(u.Name)) + " on " + report.Quote(u.Host)
	}
	return report.Quote(string(u.Name))
}

func (r *Review) textProblems(b *bufio.Writer) {
	if len(r.Kinds) > 0 {
		fmt.Fprintf(b, "\nProblems by kind:\n")
	}
	for _, k := range r.Kinds {
		of := ""
		if k.Users > 0 { // else it is one of the host
			of = " of " + plural.Count(k.Users, "user")
		}
		fmt.Fprintf(b, "  %-10s %s: %d%s\n", k.Severity, k.Kind, k.Count, of)
		if k.Severity == report.Note.String() {
			continue
		}
		for i, p := range k.Listed {
			if i == textListed {
				fmt.Fprintf(b, "    … and more; --format csv --table problems has all\n")
				break
			}
			fmt.Fprintf(b, "    %s\n", p.where(len(r.Hosts) > 1)+report.Printable(p.Text))
		}
	}
}

// where is the place of a problem, and ": " behind it; "" if it is of no place.
func (p Problem) where(withHost bool) string {
	var parts []string
	if withHost {
		parts = append(parts, report.Quote(p.Host))
	}
	for _, name := range []string{string(p.User), string(p.Folder), string(p.File)} {
		if name != "" {
			parts = append(parts, report.Quote(name))
		}
	}
	if p.Offset != nil {
		at := fmt.Sprintf("offset %d", *p.Offset)
		if p.Line > 0 {
			at += fmt.Sprintf(", line %d", p.Line)
		}
		parts = append(parts, at)
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ": ") + ": "
}

// Verdict is what it all comes to, in a sentence.
func (r *Review) Verdict() string {
	if r.Totals.Hosts == 1 && r.Hosts[0].Why != "" && r.Hosts[0].State == Unfinished {
		return "unfinished: " + r.Hosts[0].Why
	}
	switch r.Totals.ExitCode {
	case report.ExitOK:
		return "everything arrived and was proved"
	case report.ExitAttention:
		return "done, but something needs a person"
	case report.ExitDifference:
		return "VERIFICATION FOUND A DIFFERENCE"
	}
	return "FAILED OR UNFINISHED"
}

// size writes a number of bytes for people.
func size(n int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for f >= 1000 && i < len(units)-1 {
		f /= 1000
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// speed writes bytes in a time as bytes in a second.
func speed(bytes int64, seconds float64) string {
	if seconds <= 0 {
		return "0 bytes/s"
	}
	return size(int64(float64(bytes)/seconds)) + "/s"
}

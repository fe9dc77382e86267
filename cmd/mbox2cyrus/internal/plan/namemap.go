package plan

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cyrusspool"
)

// nameRow is one folder in a map of names.
type nameRow struct {
	User      ledger.RawName  `json:"user"`       // login on the UW host
	CyrusUser string          `json:"cyrus_user"` // and in Cyrus
	Old       ledger.RawName  `json:"old_name"`   // raw, on the UW host
	New       string          `json:"new_name"`   // as the user will see it, "/" between levels
	Mailbox   cyrusspool.Name `json:"mailbox"`    // Cyrus's internal name
	Renamed   bool            `json:"renamed"`    // by more than its place below the INBOX
	Why       string          `json:"why"`        // also of a name that is kept but deserves a look
}

// nameColumns are the columns of a map in CSV.
var nameColumns = []string{"user", "cyrus_user", "old_name", "new_name", "mailbox", "renamed", "why"}

func (r nameRow) cells() []string {
	renamed := "no"
	if r.Renamed {
		renamed = "yes"
	}
	return []string{Escape(string(r.User)), Escape(r.CyrusUser), Escape(string(r.Old)), Escape(r.New), string(r.Mailbox), renamed, r.Why}
}

// rows returns every folder of the plan.
func (p *Plan) rows(rules cyrusspool.NameRules) []nameRow {
	rows := []nameRow{}
	for _, u := range p.Users {
		for _, f := range u.Folders {
			rows = append(rows, nameRow{User: ledger.RawName(u.Name), CyrusUser: u.ID, Old: ledger.RawName(f.File.Name),
				New: rules.Text(f.Mailbox), Mailbox: f.Mailbox, Renamed: f.renamed(), Why: f.why()})
		}
	}
	return rows
}

// WriteMap writes which folder becomes which mailbox, and why: as JSON if path ends
// in .json, else as CSV. Edited, it can be read by [ReadNames].
func (p *Plan) WriteMap(path string, rules cyrusspool.NameRules) error {
	write := rowsCSV
	if isJSON(path) {
		write = rowsJSON
	}
	b, err := write(p.rows(rules))
	if err == nil {
		err = renameio.WriteFile(path, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("map of names: %w", err)
	}
	return nil
}

func isJSON(path string) bool { return strings.HasSuffix(strings.ToLower(path), ".json") }

func rowsJSON(rows []nameRow) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // an "&" in a name stays readable
	enc.SetIndent("", "  ")
	err := enc.Encode(rows)
	return b.Bytes(), err
}

func rowsCSV(rows []nameRow) ([]byte, error) {
	table := [][]string{nameColumns}
	for _, r := range rows {
		table = append(table, r.cells())
	}
	return tableCSV(table)
}

func tableCSV(table [][]string) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	err := w.WriteAll(table)
	return b.Bytes(), err
}

// renamed reports whether users find the folder under another name than before.
func (f Folder) renamed() bool {
	return f.Chosen || slices.ContainsFunc(f.Changes, func(c cyrusspool.Change) bool { return !c.Warning() })
}

// why explains the folder's name; "" if there is nothing to explain.
func (f Folder) why() string {
	var all []string
	if f.Chosen {
		all = append(all, "chosen by the administrator")
	}
	for _, c := range f.Changes {
		if text := whyChanged[c.Kind]; !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return strings.Join(all, "; ")
}

// whyChanged has the reason of every change of a folder's name, in plain words.
var whyChanged = map[cyrusspool.ChangeKind]string{
	cyrusspool.KindEncodedUTF8:    "8-bit, written as IMAP wants it; looks the same",
	cyrusspool.KindEncodedCharset: "8-bit and not UTF-8, taken as --filename-charset says",
	cyrusspool.KindAmpersand:      "an ampersand, written as IMAP wants it; looks the same",
	cyrusspool.KindControl:        "control characters became _",
	cyrusspool.KindRefused:        "characters that Cyrus refuses became _",
	cyrusspool.KindDot:            "a dot would separate levels, and is shown as ^",
	cyrusspool.KindInbox:          "only the inbox can be called INBOX",
	cyrusspool.KindReserved:       "Cyrus keeps that name for itself",
	cyrusspool.KindLong:           "too long for Cyrus",
	cyrusspool.KindCollision:      "another folder has that name",
	cyrusspool.KindSpace:          "a space at an end, which some clients cannot handle",
	cyrusspool.KindCase:           "another folder differs in capitals alone, which some clients cannot handle",
}

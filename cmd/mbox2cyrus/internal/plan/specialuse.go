package plan

import (
	"fmt"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/specialuse"
	"mbox2cyrus/cyrusspool"
)

// ChooseSpecialUses decides which folders of each user are for sent mail, drafts and so
// on. Only folders on the first level are, since Cyrus's program sees no others.
func (p *Plan) ChooseSpecialUses(uses specialuse.Rules, names cyrusspool.NameRules) {
	for _, u := range p.Users {
		u.chooseSpecialUses(uses, names)
	}
}

func (u *User) chooseSpecialUses(uses specialuse.Rules, names cyrusspool.NameRules) {
	var first []specialuse.Folder
	var at []int // their places in u.Folders
	for i, f := range u.Folders {
		if len(f.Mailbox.Folder()) == 1 {
			// By the name that the user sees in Cyrus: it is in one charset, whatever
			// the file's name was in.
			first = append(first, specialuse.Folder{Name: names.Text(f.Mailbox), Bytes: f.File.Size})
			at = append(at, i)
		}
	}
	chosen, passed := uses.Choose(first)
	for i, use := range chosen {
		u.Folders[at[i]].SpecialUse = string(use)
	}
	for _, pass := range passed {
		f := u.Folders[at[pass.Folder]]
		u.Problems = append(u.Problems, report.Problem{Severity: report.Note, User: u.Name, Folder: f.File.Name, Offset: -1, Kind: "special-use-other",
			Text: fmt.Sprintf(`could be \%s by its name, but %s, which is larger or likelier, is`, pass.Use, report.Quote(u.Folders[at[pass.For]].File.Name))})
	}
}

// ChooseQuota gives users the limit of their mail in Cyrus, in bytes, 0 for none.
func (p *Plan) ChooseQuota(limit func(login string) int64) {
	for _, u := range p.Users {
		u.Quota = limit(u.Name)
	}
}

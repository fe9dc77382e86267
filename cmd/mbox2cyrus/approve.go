package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/held"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

func (p *program) approveCommand() *cli.Command {
	return &cli.Command{
		Name:      "approve",
		Usage:     "say that mail which is held is known: else runs end with exit code 2",
		ArgsUsage: "[ID...]",
		Description: "Shows what of the folders was put aside, because Cyrus cannot have it or because it is no mail any more: its bytes are in held/ of the state directory. " +
			"Who approves of it is recorded, and it is a note from then on. Exit code 2: something is not approved.",
		Flags: append([]cli.Flag{
			boolFlag("list", "only show what is held, with its ids"),
			&cli.BoolFlag{Name: "all", Usage: "approve everything that is held now"}, // no environment variable: it must be said
			&cli.StringSliceFlag{Name: "user", Usage: "only what is held of this `NAME` (may be repeated)", EnvVars: env("user")},
			stringFlag("by", "", "`NAME` of the person who approves"),
			stringFlag("comment", "", "`TEXT` for the record"),
			stateFlag(),
		}, outputFlags()...),
		Action: p.approve,
	}
}

func (p *program) approve(c *cli.Context) (err error) {
	ids := c.Args().Slice()
	list, all := c.Bool("list"), c.Bool("all")
	switch {
	case list && (all || len(ids) > 0):
		return usagef("--list only shows: give no ids and not --all")
	case !list && !all && len(ids) == 0:
		return usagef("give --list, ids that it shows, or --all")
	case all && len(ids) > 0:
		return usagef("--all approves everything: give no ids")
	case !list && strings.TrimSpace(c.String("by")) == "":
		return usagef("--by NAME: the record must say who approves")
	}
	state, err := knownState(c, "nothing is held")
	if err != nil {
		return err
	}
	open := ledger.Open
	if list {
		open = ledger.Read
	}
	l, err := open(state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	r, closeLog, err := p.reporter(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	items := &heldItems{ledger: l, users: c.StringSlice("user")}
	if err := items.known(); err != nil {
		return err
	}
	if !list {
		n, err := items.approve(ids, ledger.Approval{Time: now(), By: c.String("by"), Comment: c.String("comment")})
		if err != nil {
			return err
		}
		r.Printf("approved now: %d", n)
	}
	if err := items.each(func(it held.Item) error { r.Held(heldLine(l, it)); return nil }); err != nil {
		return err
	}
	p.code, err = r.Finish(0)
	return err
}

// heldItems is everything that the ledger says is held, of those users or of all.
type heldItems struct {
	ledger *ledger.Ledger
	users  []string
}

// known wants the ledger to know every user that is named.
func (h *heldItems) known() error {
	known := h.ledger.Users()
	for _, user := range h.users {
		if !slices.Contains(known, user) {
			return usagef("--user %s: the ledger knows no such user", report.Quote(user))
		}
	}
	return nil
}

func (h *heldItems) each(do func(held.Item) error) error {
	return h.ledger.Each(func(rec ledger.Mailbox) error {
		if rec.Held == nil || len(h.users) > 0 && !slices.Contains(h.users, string(rec.User)) {
			return nil
		}
		err := held.Each(h.ledger.HeldDir(), rec.UniqueID, do)
		// A mailbox that a run has just begun anew may hold nothing any more.
		if err != nil && !(errors.Is(err, fs.ErrNotExist) && rec.State == ledger.Begun) {
			return err
		}
		return nil
	})
}

// approveAtOnce is how many items are in memory.
const approveAtOnce = 1000

// approve records the approval a of the items of those ids, of all without ids, as far as
// nobody approved of them yet, and returns how many these were. An id that nothing is held
// under is a usage error before anything is recorded.
func (h *heldItems) approve(ids []string, a ledger.Approval) (n int, err error) {
	if err := h.check(ids); err != nil {
		return 0, err
	}
	record := func() error {
		if len(a.Items) == 0 {
			return nil
		}
		n += len(a.Items)
		err := h.ledger.Approve(a)
		a.Items = nil
		return err
	}
	err = h.each(func(it held.Item) error {
		if _, _, ok := h.ledger.Approved(it.ID); ok || len(ids) > 0 && !slices.Contains(ids, it.ID) {
			return nil
		}
		a.Items = append(a.Items, ledger.ApprovedItem{ID: it.ID, User: it.User, Folder: it.Folder, Offset: it.Offset, Length: it.Length, Reason: it.Reason})
		if len(a.Items) < approveAtOnce {
			return nil
		}
		return record()
	})
	return n, errors.Join(err, record())
}

// check wants each id to be held.
func (h *heldItems) check(ids []string) error {
	missing := map[string]bool{}
	for _, id := range ids {
		missing[id] = true
	}
	if err := h.each(func(it held.Item) error { delete(missing, it.ID); return nil }); err != nil {
		return err
	}
	if len(missing) > 0 {
		return usagef("nothing is held under the id %s; approve --list shows what is. Nothing was approved", report.Quote(slices.Sorted(maps.Keys(missing))[0]))
	}
	return nil
}

func heldLine(l *ledger.Ledger, it held.Item) report.Held {
	h := report.Held{ID: it.ID, User: string(it.User), Folder: string(it.Folder), Source: string(it.Source), File: string(it.File),
		Offset: it.Offset, Length: it.Length, Reason: it.Reason, Text: it.Text, SHA1: it.SHA1}
	if by, at, ok := l.Approved(it.ID); ok {
		h.Approved = fmt.Sprintf("%s at %s", by, at.Format("2006-01-02 15:04:05Z07:00"))
	}
	return h
}

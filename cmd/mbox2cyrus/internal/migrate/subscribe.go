package migrate

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
)

// subscribe gives a user his subscriptions. path is where Cyrus keeps them, known when
// his INBOX has just been entered; else it is what an earlier run recorded. Subscriptions
// that Cyrus has already and that are not those of an earlier run stay: the user made
// them there.
func (e *Engine) subscribe(u *plan.User, path string) error {
	subs := cyrusspool.Subscriptions{Form: e.Cyrus.Fresh.SubscriptionForm, Owner: u.ID, Names: u.Subscriptions}
	wanted, err := subscriptionList(u)
	if err != nil {
		return err
	}
	rec, known := e.Ledger.Subscriptions(u.Name)
	if known {
		path = filepath.Join(e.Cyrus.ConfigDir, rec.Path)
	}
	var sum string
	switch {
	case known && rec.Names == wanted && rec.Next == "", path == "":
		return nil
	case known && e.Running:
		e.keepSubscriptions(u, report.Attention, "the subscriptions changed since an earlier run; stop Cyrus and run again to bring the changes")
		return nil
	case len(u.Subscriptions) == 0 && rec.SHA1 == "" && rec.Next == "": // none yet: no file
	default:
		if sum, err = e.writeSubscriptions(&subs, path, rec, known); err != nil {
			if !errors.Is(err, fs.ErrExist) && !errors.Is(err, cyrusspool.ErrSubscriptionsChanged) {
				return err
			}
			if known {
				e.keepSubscriptions(u, report.Attention, "the subscriptions changed on the UW host and in Cyrus since an earlier run; those in Cyrus are kept")
			} else {
				e.keepSubscriptions(u, report.Note, "Cyrus has subscriptions of this user already; they are kept as they are")
			}
			return nil
		}
	}
	rel, err := filepath.Rel(e.Cyrus.ConfigDir, path)
	if err != nil {
		return fmt.Errorf("subscriptions of %s: %w", report.Quote(u.Name), err)
	}
	return e.Ledger.SetSubscriptions(ledger.Subscriptions{User: ledger.RawName(u.Name), Path: rel, Names: wanted, SHA1: sum})
}

// writeSubscriptions writes the file at path, in place of one that the ledger says a run
// wrote. One that is as it would be, of a run that was cut off, stays. Another stays too: the
// error is then fs.ErrExist or [cyrusspool.ErrSubscriptionsChanged].
func (e *Engine) writeSubscriptions(subs *cyrusspool.Subscriptions, path string, rec ledger.Subscriptions, known bool) (sum string, err error) {
	new, err := subs.SHA1()
	if err != nil {
		return "", err
	}
	have, err := e.Cyrus.SumOfSubscriptions(path)
	if err != nil {
		return "", err
	}
	sum = hex.EncodeToString(new[:])
	switch {
	case have == sum:
		return sum, nil
	case !rec.Wrote(have):
		return "", cyrusspool.ErrSubscriptionsChanged
	case known:
		rec.SHA1, rec.Next = have, sum
		if err := e.Ledger.SetSubscriptions(rec); err != nil {
			return "", err
		}
	}
	if have == "" {
		_, err = subs.WriteFile(e.Cyrus.ConfigDir, path, e.Cyrus.Fresh.Owner)
		return sum, err
	}
	var old [20]byte
	if _, err := hex.Decode(old[:], []byte(have)); err != nil {
		return "", err
	}
	_, err = subs.ReplaceFile(e.Cyrus.ConfigDir, path, e.Cyrus.Fresh.Owner, old)
	return sum, err
}

// recogniseSubscriptions records the subscriptions of a user whose INBOX was recognised, if
// they are those that he has on the UW host.
func (e *Engine) recogniseSubscriptions(ctx context.Context, u *plan.User) error {
	path, err := e.Cyrus.SubscriptionFile(ctx, u.ID)
	if err != nil {
		return err
	}
	subs := cyrusspool.Subscriptions{Form: e.Cyrus.Fresh.SubscriptionForm, Owner: u.ID, Names: u.Subscriptions}
	sum, err := subs.SHA1()
	if err != nil {
		return err
	}
	want := hex.EncodeToString(sum[:])
	if len(u.Subscriptions) == 0 {
		want = "" // no file
	}
	have, err := e.Cyrus.SumOfSubscriptions(path)
	if err != nil {
		return fmt.Errorf("subscriptions of %s: %w", report.Quote(u.Name), err)
	}
	if have != want {
		return nil
	}
	names, err := subscriptionList(u)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(e.Cyrus.ConfigDir, path)
	if err != nil {
		return fmt.Errorf("subscriptions of %s: %w", report.Quote(u.Name), err)
	}
	return e.Ledger.SetSubscriptions(ledger.Subscriptions{User: ledger.RawName(u.Name), Path: rel, Names: names, SHA1: have})
}

// subscriptionList identifies what a user is subscribed to.
func subscriptionList(u *plan.User) (string, error) {
	// The form of one release stands for all: what counts is whether it changed.
	list := cyrusspool.Subscriptions{Form: cyrusspool.SubscriptionDBNames, Owner: u.ID, Names: u.Subscriptions}
	sum, err := list.SHA1()
	return hex.EncodeToString(sum[:]), err
}

func (e *Engine) keepSubscriptions(u *plan.User, severity report.Severity, text string) {
	e.Report.Problem(report.Problem{Severity: severity, User: u.Name, Offset: -1, Kind: "subscriptions-kept", Text: text})
}

// resubscribe brings changed subscriptions of a user of whom nothing else is to do.
func (e *Engine) resubscribe(u *plan.User) error {
	if _, known := e.Ledger.Subscriptions(u.Name); !known {
		return nil
	}
	return e.subscribe(u, "")
}

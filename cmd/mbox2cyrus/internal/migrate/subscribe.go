package migrate

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
)

// newSubscriptions are those that a user is to have, and what is there.
type newSubscriptions struct {
	cyrusspool.Subscriptions
	path  string // of the file; "": it is not known
	names string // identifies the list

	rec   ledger.Subscriptions // as the ledger has them
	known bool                 // to the ledger
	have  string               // SHA-1 of the file that is there; "": none
	sum   string               // and of the one that is to be
}

// newSubscriptions finds out about those of a user. path is where Cyrus keeps them, known
// when his INBOX has just been entered; else it is what an earlier run recorded.
func (e *Engine) newSubscriptions(u *plan.User, path string) (s newSubscriptions, err error) {
	names, err := e.subscribedTo(u)
	if err != nil {
		return s, err
	}
	s.Subscriptions = cyrusspool.Subscriptions{Form: e.Cyrus.Fresh.SubscriptionForm, Owner: u.ID, Names: names}
	s.path = path
	if s.names, err = listIdentity(u.ID, s.Names); err != nil {
		return s, err
	}
	if s.rec, s.known = e.Ledger.Subscriptions(u.Name); s.known {
		s.path = filepath.Join(e.Cyrus.ConfigDir, s.rec.Path)
	}
	if s.path == "" {
		return s, nil
	}
	if s.rec.User = ledger.RawName(u.Name); !s.known {
		if s.rec.Path, err = filepath.Rel(e.Cyrus.ConfigDir, path); err != nil {
			return s, fmt.Errorf("subscriptions of %s: %w", report.Quote(u.Name), err)
		}
	}
	sum, err := s.SHA1()
	if err != nil {
		return s, err
	}
	s.sum = hex.EncodeToString(sum[:])
	s.have, err = e.Cyrus.SumOfSubscriptions(s.path)
	return s, err
}

// subscribedTo are the mailboxes that a user is to be subscribed to. Those of folders that are
// gone are among them as long as they are in Cyrus: they stay there too.
func (e *Engine) subscribedTo(u *plan.User) ([]cyrusspool.Name, error) {
	names := slices.Clone(u.Subscriptions)
	if len(u.Unmade) == 0 {
		return names, nil
	}
	boxes, err := e.Ledger.MailboxesOf(u.Name)
	if err != nil {
		return nil, err
	}
	// Both may be very many: a list has room for 100,000 subscriptions.
	unmade, folders := map[cyrusspool.Name]bool{}, map[string]bool{}
	for _, s := range u.Unmade {
		unmade[s.Mailbox], folders[s.Folder] = true, true
	}
	for _, rec := range boxes {
		name := cyrusspool.Name(rec.Name)
		if e.Cyrus.Has(name) && (unmade[name] || folders[string(rec.Folder)]) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// done reports whether nothing is to be done.
func (s *newSubscriptions) done() bool {
	return s.path == "" || s.known && s.rec.Names == s.names && s.rec.Next == ""
}

// none reports whether there are none yet, and none come: no file is made for that.
func (s *newSubscriptions) none() bool {
	return len(s.Names) == 0 && s.rec.SHA1 == "" && (s.rec.Next == "" || s.have == "")
}

// sourceGone reports whether the list that earlier runs brought is no longer there, or in an
// archive. A file system that is not mounted must not empty Cyrus, nor must a retire. The list
// of a user without folders is not looked at.
func (s *newSubscriptions) sourceGone(u *plan.User) bool {
	return u.RetiredList() != nil || (u.SubscriptionList == "" || len(u.Folders) == 0) && (s.rec.SHA1 != "" || s.rec.Next != "")
}

// foreign reports whether the file that is there is not one that a run wrote: the user made
// it, in Cyrus.
func (s *newSubscriptions) foreign() bool { return s.have != s.sum && !s.rec.Wrote(s.have) }

// inUse reports whether a file would be replaced that Cyrus could have open.
func (s *newSubscriptions) inUse(running bool) bool {
	return running && s.have != "" && s.have != s.sum
}

// announce says in the ledger which subscriptions of the users of a batch come next, so that
// a run that is cut off leaves no file that the next one does not know for its own. All at
// once: one sync, not one for each user.
func (e *Engine) announce(batch []*job, paths map[string]string) error {
	var next []ledger.Subscriptions
	for _, j := range batch {
		u := j.user
		s, err := e.newSubscriptions(u, paths[u.ID])
		if err != nil || s.sourceGone(u) || s.done() || s.none() || s.have == s.sum || s.foreign() || s.inUse(e.Running) {
			continue // none come, or subscribe says what is wrong: that concerns this user only
		}
		if a := s.announced(); a != s.rec {
			next = append(next, a)
		}
	}
	return e.Ledger.SetSubscriptions(next...)
}

// announced is what the ledger says before the file takes the place of the one that is there.
func (s *newSubscriptions) announced() ledger.Subscriptions {
	rec := s.rec
	rec.SHA1, rec.Next = s.have, s.sum
	return rec
}

// subscribe gives a user his subscriptions. path is as in newSubscriptions. Subscriptions
// that Cyrus has already and that are not those of an earlier run stay: the user made them
// there.
func (e *Engine) subscribe(u *plan.User, path string) error {
	s, err := e.newSubscriptions(u, path)
	if err != nil {
		return err
	}
	switch {
	case s.sourceGone(u):
		return e.leaveWithoutList(u, &s)
	case s.done():
		return nil
	case s.none():
		s.sum = ""
	case s.foreign():
		return e.leaveSubscriptions(u, &s)
	case s.inUse(e.Running):
		e.keepSubscriptions(u, report.Attention, "the subscriptions changed since an earlier run; stop Cyrus and run again to bring the changes")
		return nil
	case s.have == s.sum:
		if err := e.syncSubscriptions(&s); err != nil {
			return err
		}
	default:
		err := e.writeSubscriptions(&s)
		if errors.Is(err, fs.ErrExist) || errors.Is(err, cyrusspool.ErrSubscriptionsChanged) {
			return e.leaveSubscriptions(u, &s)
		}
		if err != nil {
			return err
		}
	}
	s.rec.Names, s.rec.SHA1, s.rec.Next = s.names, s.sum, ""
	return e.Ledger.SetSubscriptions(s.rec)
}

// writeSubscriptions writes the file, in place of one that a run wrote or where there is none.
// Another, that came meanwhile, stays: the error is then fs.ErrExist or
// [cyrusspool.ErrSubscriptionsChanged].
func (e *Engine) writeSubscriptions(s *newSubscriptions) error {
	if next := s.announced(); next != s.rec {
		if err := e.Ledger.SetSubscriptions(next); err != nil {
			return err
		}
		s.rec, s.known = next, true
	}
	if s.have == "" {
		_, err := s.WriteFile(e.Cyrus.ConfigDir, s.path, e.Cyrus.Fresh.Owner)
		return err
	}
	var old [20]byte
	if _, err := hex.Decode(old[:], []byte(s.have)); err != nil {
		return err
	}
	_, err := s.ReplaceFile(e.Cyrus.ConfigDir, s.path, e.Cyrus.Fresh.Owner, old)
	return err
}

// leaveSubscriptions leaves those that the user made in Cyrus, and takes back what was
// announced.
func (e *Engine) leaveSubscriptions(u *plan.User, s *newSubscriptions) error {
	first := s.rec.Names == "" // no run has given him any
	if first {
		e.keepSubscriptions(u, report.Note, "Cyrus has subscriptions of this user already; they are kept as they are")
	} else {
		e.keepSubscriptions(u, report.Attention, "the subscriptions changed on the UW host and in Cyrus since an earlier run; those in Cyrus are kept")
	}
	return e.takeBack(s)
}

// takeBack says in the ledger that what a run announced is not there, and will not be written.
func (e *Engine) takeBack(s *newSubscriptions) error {
	if s.rec.Next == "" {
		return nil
	}
	if s.rec.Next = ""; s.rec.Names == "" {
		s.rec = ledger.Subscriptions{User: s.rec.User}
	}
	return e.Ledger.SetSubscriptions(s.rec)
}

// leaveWithoutList leaves what Cyrus has where the list is gone that it was brought from.
func (e *Engine) leaveWithoutList(u *plan.User, s *newSubscriptions) error {
	if s.path == "" {
		return nil
	}
	if !s.rec.Wrote(s.have) {
		return e.takeBack(s) // it is the user's affair
	}
	if u.RetiredList() == nil {
		e.keepSubscriptions(u, report.Attention, "the list of subscriptions (.mailboxlist) is no longer there or cannot be read; those in Cyrus stay: change them in Cyrus, or put an empty list there if none are wanted")
	}
	if s.rec.Next == "" {
		return nil
	}
	// A run was cut off and has left one of the two. Which list that was is not known any
	// more: another one is brought when it comes.
	if err := e.syncSubscriptions(s); err != nil {
		return err
	}
	if s.rec.Names = s.have; s.have == "" {
		none, err := listIdentity(u.ID, nil)
		if err != nil {
			return err
		}
		s.rec.Names = none
	}
	s.rec.SHA1, s.rec.Next = s.have, ""
	return e.Ledger.SetSubscriptions(s.rec)
}

// syncSubscriptions makes the name of a file durable, if there is one: the run that has
// written it may have been killed before it did that.
func (e *Engine) syncSubscriptions(s *newSubscriptions) error {
	if s.have == "" {
		return nil
	}
	d, err := cyrusspool.OpenDir(e.Cyrus.ConfigDir, filepath.Dir(s.rec.Path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
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
	names, err := listIdentity(u.ID, u.Subscriptions)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(e.Cyrus.ConfigDir, path)
	if err != nil {
		return fmt.Errorf("subscriptions of %s: %w", report.Quote(u.Name), err)
	}
	return e.Ledger.SetSubscriptions(ledger.Subscriptions{User: ledger.RawName(u.Name), Path: rel, Names: names, SHA1: have})
}

// listIdentity identifies what a user is subscribed to.
func listIdentity(id string, names []cyrusspool.Name) (string, error) {
	// The form of one release stands for all: what counts is whether it changed.
	list := cyrusspool.Subscriptions{Form: cyrusspool.SubscriptionDBNames, Owner: id, Names: names}
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

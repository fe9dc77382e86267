package ledger

// Subscriptions are those that were written for a user.
type Subscriptions struct {
	User  RawName `json:"user"`
	Path  string  `json:"path"`  // of the file, below Cyrus's configdirectory
	Names string  `json:"names"` // identifies what he was subscribed to
	SHA1  string  `json:"sha1"`  // of the file; "": none was written
	// Next is the SHA-1 of the file that a run is about to put in place of it, or where there
	// was none. A run that was cut off leaves one of the two. SetSubscriptions without it says
	// that it is done. Before the first it stands without Names.
	Next string `json:"next,omitempty"`
}

// Wrote reports whether the file with a SHA-1 is one that a run wrote.
func (s Subscriptions) Wrote(sum string) bool {
	return sum == s.SHA1 || s.Next != "" && sum == s.Next
}

// putSubscriptions takes what a line says: without a path, that there are none.
func (l *Ledger) putSubscriptions(s Subscriptions) {
	if s.Path == "" {
		delete(l.subs, s.User)
		return
	}
	l.subs[s.User] = s
}

// Subscriptions returns those that were written for a user of the UW host.
func (l *Ledger) Subscriptions(user string) (Subscriptions, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.subs[RawName(user)]
	return s, ok
}

// SetSubscriptions records the subscriptions that were written; without a path, that
// they were removed again. What is to be written, Next, is on the disk when it returns. That
// it was written comes there with what is synced next; where that is lost, the next run finds
// the file as it would write it.
func (l *Ledger) SetSubscriptions(subs ...Subscriptions) error {
	if len(subs) == 0 {
		return nil
	}
	lines := make([]line, len(subs))
	sync := false
	for i := range subs {
		lines[i].Subscriptions = &subs[i]
		sync = sync || subs[i].Next != ""
	}
	if _, err := l.append(sync, lines...); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range subs {
		l.putSubscriptions(s)
	}
	return nil
}

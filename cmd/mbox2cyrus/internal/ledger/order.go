package ledger

// Order passes messages on by ascending UID, as Cyrus's index and the manifest
// want them. In a UW folder only the first message can be numbered above later
// ones (uw-mbox 4 b), so one message at a time has to wait for its turn.
type Order struct {
	Emit func(Message) error

	waiting Message
	has     bool
}

// Add takes the next message in the order of the source.
func (o *Order) Add(m Message) error {
	if o.has && m.UID < o.waiting.UID {
		return o.Emit(m)
	}
	if err := o.Flush(); err != nil {
		return err
	}
	o.waiting, o.has = m, true
	return nil
}

// Flush passes on the message that still waits.
func (o *Order) Flush() error {
	if !o.has {
		return nil
	}
	o.has = false
	return o.Emit(o.waiting)
}

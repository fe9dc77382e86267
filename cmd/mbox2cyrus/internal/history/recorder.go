package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// maxAlike bounds how many problems of one kind, severity and user are kept one by one: a user's
// file decides how many there are. The others are counted. What is for a person is not counted
// among notes of its kind, as of held mail that is approved.
const maxAlike = 200

// Recorder writes the history of a run. It is safe for use by many goroutines. A nil
// Recorder keeps nothing.
type Recorder struct {
	run   int
	start time.Time
	lock  *os.File // nil: the ledger's lock holds

	earlier map[string]standing
	leftOut func(user string, own bool) bool // of Beside; nil: nobody

	mu    sync.Mutex
	f     *os.File
	bw    *bufio.Writer
	users map[string]*tally
	err   error // the first one

	bytes, messages atomic.Int64
	stop            chan struct{}
	done            sync.WaitGroup
}

// tally is what was said of a user so far.
type tally struct {
	folders, found, written, verified, held, bytes int64
	severities                                     map[string]int64
	kept                                           map[alike]int64 // problems by kind and severity, that were written
	more                                           map[alike]int64 // and others
	said                                           map[string]bool // folders of which there is a line
}

// alike are problems that are counted together. Those of one folder stay true as long as it does
// not change; what is held is of none here, as each run says it anew.
type alike struct {
	kind, severity, folder, mailbox string
	held                            bool
}

// forNobody reports whether nothing was said of the user that is for a person.
func (t *tally) forNobody() bool {
	return t.severities["attention"]+t.severities["failure"]+t.severities["difference"] == 0
}

// Begin begins the history of a run. Every few runs, what later ones have made obsolete is
// removed from the file first. The number of run is set. It returns an error that wraps ErrBusy if
// another run of the same command is being recorded.
func Begin(state string, run Run) (r *Recorder, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("history: %w", err)
		}
	}()
	dir := filepath.Join(state, dirName)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	r = &Recorder{start: run.Start, users: map[string]*tally{}, stop: make(chan struct{})}
	if run.Command == Verify {
		if r.lock, err = takeLock(filepath.Join(dir, run.Command+".lock")); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, r.lock.Close())
			}
		}()
	}
	path := Path(state, run.Command)
	if r.run, run.Compacted, err = compact(path, run.Command); err != nil {
		return nil, err
	}
	r.run++
	if r.f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600); err != nil {
		return nil, err
	}
	r.bw = bufio.NewWriterSize(r.f, 1<<16)
	run.Number, run.Type = r.run, "run"
	r.write(run)
	if err := errors.Join(r.err, r.bw.Flush()); err != nil {
		return nil, errors.Join(err, r.f.Close())
	}
	if r.earlier, err = standings(path); err != nil {
		return nil, errors.Join(err, r.f.Close())
	}
	r.sampling()
	return r, nil
}

// takeLock takes an open-file-description lock without waiting.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		err = ErrBusy
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Line takes an object that the reporter says, and its line.
func (r *Recorder) Line(m map[string]any, line []byte) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	kind, _ := m["message_type"].(string)
	switch kind {
	case "status":
		return // there are our own samples
	case "problem":
		if !r.problem(m) {
			return
		}
	case "folder":
		t := r.user(key(m))
		t.folders++
		t.said[report.RawName(m, "folder")] = true
		for name, n := range map[string]*int64{"messages_found": &t.found, "messages_written": &t.written,
			"messages_verified": &t.verified, "messages_held": &t.held, "bytes": &t.bytes} {
			v, _ := m[name].(int64)
			*n += v
		}
	}
	// The object with the number of the run in it, without marshalling it again.
	_, err := fmt.Fprintf(r.bw, `{"run":%d,%s`, r.run, line[1:])
	r.fail(err)
}

// problem counts a problem and reports whether it is to be written.
func (r *Recorder) problem(m map[string]any) bool {
	severity, _ := m["severity"].(string)
	kind, _ := m["kind"].(string)
	n, ok := m["count"].(int64)
	if !ok {
		n = 1
	}
	t := r.user(key(m))
	t.severities[severity] += n
	of := alike{kind: kind, severity: severity}
	if t.kept[of] < maxAlike {
		t.kept[of]++
		return true
	}
	if id, _ := m["held_id"].(string); id != "" {
		of.held = true
	} else {
		of.folder = report.RawName(m, "folder")
		of.mailbox, _ = m["mailbox"].(string)
	}
	t.more[of] += n
	return false
}

// key is the raw name of the user of an object.
func key(m map[string]any) string { return report.RawName(m, "user") }

func (r *Recorder) user(name string) *tally {
	t := r.users[name]
	if t == nil {
		t = &tally{severities: map[string]int64{}, kept: map[alike]int64{}, more: map[alike]int64{}, said: map[string]bool{}}
		r.users[name] = t
	}
	return t
}

// User ends what is said of a user in this run: it counts from now on, instead of what
// earlier runs said.
func (r *Recorder) User(name string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.user(name)
	r.unlisted(name, t)
	m := map[string]any{"run": r.run, "message_type": "user", "time": time.Now().UTC(), "folders": t.folders, "messages_found": t.found, "messages_written": t.written,
		"messages_verified": t.verified, "messages_held": t.held, "bytes": t.bytes,
		"notes": t.severities["note"], "attentions": t.severities["attention"], "failures": t.severities["failure"], "differences": t.severities["difference"]}
	report.AddName(m, "user", name)
	r.write(m)
	delete(r.users, name)
	r.flush()
}

// unlisted writes how many problems of a user were not written one by one. Files that are no
// folders, of which he may have any number, are in one line: nothing of them outlives the run.
func (r *Recorder) unlisted(name string, t *tally) {
	more := map[alike]int64{}
	for of, n := range t.more {
		if name != "" && !t.said[of.folder] {
			of.folder, of.mailbox = "", ""
		}
		more[of] += n
	}
	for of, n := range more {
		m := map[string]any{"run": r.run, "message_type": "problem", "kind": of.kind, "severity": of.severity, "count": n, "unlisted": true,
			"text": fmt.Sprintf("more of the same, beyond the first %d", maxAlike)}
		report.AddName(m, "user", name)
		if of.held {
			m["held"] = true
		}
		if of.folder != "" {
			report.AddName(m, "folder", of.folder)
		}
		if of.mailbox != "" {
			m["mailbox"] = of.mailbox
		}
		r.write(m)
	}
}

// Beside says of which users without mail this run tells all there is to tell, as of root's
// INBOX: what earlier runs told of them is no more, if this one comes to its end and does not.
// What they told of a user who is left out stays; own is whether it is of folders of his.
func (r *Recorder) Beside(told func(user string) bool, leftOut func(user string, own bool) bool) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leftOut = leftOut
	for name, s := range r.earlier {
		if s.beside && told(name) {
			r.user(name)
		}
	}
}

// Count counts what was read, for the samples.
func (r *Recorder) Count(bytes, messages int64) {
	if r == nil {
		return
	}
	r.bytes.Add(bytes)
	r.messages.Add(messages)
}

// sampling writes a sample every second in the first minute, then every ten seconds.
func (r *Recorder) sampling() {
	r.done.Go(func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for n := 1; ; n++ {
			select {
			case <-t.C:
				if n <= 60 || n%10 == 0 {
					r.sample()
				}
			case <-r.stop:
				return
			}
		}
	})
}

func (r *Recorder) sample() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(map[string]any{"run": r.run, "message_type": "status", "seconds": time.Since(r.start).Seconds(),
		"bytes_done": r.bytes.Load(), "messages": r.messages.Load()})
	r.flush()
}

func (r *Recorder) write(v any) {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = r.bw.Write(append(b, '\n'))
	}
	r.fail(err)
}

func (r *Recorder) flush() { r.fail(r.bw.Flush()) }

func (r *Recorder) fail(err error) {
	if err != nil && r.err == nil {
		r.err = err
	}
}

// Close ends the history. Where the run was not stopped before, users of whom something
// was said and who have no mail are finished too.
func (r *Recorder) Close(stopped bool) error {
	if r == nil {
		return nil
	}
	close(r.stop)
	r.done.Wait()
	r.sample()
	r.mu.Lock()
	var left []string
	for name, t := range r.users {
		if name == "" {
			r.unlisted(name, t)
		} else if !stopped && !(t.forNobody() && r.leftOut != nil && r.leftOut(name, r.earlier[name].own)) {
			left = append(left, name)
		}
	}
	r.mu.Unlock()
	for _, name := range left {
		r.User(name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	err := errors.Join(r.err, r.bw.Flush(), r.f.Sync(), r.f.Close())
	if r.lock != nil {
		err = errors.Join(err, r.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

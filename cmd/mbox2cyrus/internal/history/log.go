package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// keptRuns is how many runs a history remembers the beginnings, ends and samples of.
const keptRuns = 50

// Log is a history that is read.
type Log struct {
	Runs  []Run           // the last keptRuns, the oldest first
	Users map[string]Line // the last "user" line of each user, by raw name

	path   string
	anew   bool                          // each run says all there is of a user: verify's
	folder map[string]map[string][]state // by user and name of the folder
	pop3   map[string]int                // run of each user's last pop3 line
	wholes []*Run                        // as Wholes returns them, when all is read
}

// state is the run that read a folder last, and the last one that said anything of it. The
// INBOX and a folder INBOX have one name, and are told apart by their mailboxes.
type state struct {
	mailbox    string
	read, said int
}

// place is what a line that pends is of.
type place struct{ folder, mailbox string }

// states are those of the folder that a line is of; of a problem that does not say which of
// two of one name, as of earlier versions, those of both.
func (l *Log) states(ln Line) []state {
	states := l.folder[ln.User][ln.Folder]
	if ln.Mailbox == "" {
		return states
	}
	for i, s := range states {
		if s.mailbox == ln.Mailbox {
			return states[i : i+1]
		}
	}
	return nil
}

// Read reads a command's history below a state directory. One that is not there is
// empty.
func Read(stateDir, command string) (*Log, error) {
	l, err := read(Path(stateDir, command), command)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return l, nil
}

// read reads the lines that a command wrote. Those of a user count only once he is finished: what a
// run that was cut off said of him is replaced by the next one.
func read(path, command string) (*Log, error) {
	l := &Log{path: path, anew: command == Verify, Users: map[string]Line{}, folder: map[string]map[string][]state{}, pop3: map[string]int{}}
	pending := map[string]map[place]Line{} // folder and pop3 lines of users who are not finished, yet
	err := each(path, notProblem, func(ln Line) error {
		switch ln.Type {
		case "run":
			var run Run
			if err := json.Unmarshal(ln.raw, &run); err != nil {
				return err
			}
			l.Runs = append(l.Runs, run)
			l.forget()
			clear(pending) // that run was cut off
		case "status":
			if run := l.run(ln.Run); run != nil {
				run.Samples = append(run.Samples, Sample{ln.Seconds, ln.BytesDone, ln.Messages})
			}
		case "summary":
			if run := l.run(ln.Run); run != nil {
				end := ln
				end.raw = nil
				run.End = &end
			}
		case "folder", "pop3":
			of := place{ln.Folder, ln.Mailbox}
			if ln.Type == "pop3" {
				of = place{folder: "\x00pop3"} // no file is called so
			}
			ln.raw = nil
			if pending[ln.User] == nil {
				pending[ln.User] = map[place]Line{}
			}
			pending[ln.User][of] = ln
		case "user":
			ln.raw = nil
			l.Users[ln.User] = ln
			l.finish(ln.User, pending[ln.User])
			delete(pending, ln.User)
		}
		return nil
	})
	l.wholes = l.Wholes()
	return l, err
}

// finish takes the lines of a user that pended until he was finished.
func (l *Log) finish(user string, lines map[place]Line) {
	for of, ln := range lines {
		if ln.Type == "pop3" {
			l.pop3[user] = ln.Run
			continue
		}
		if l.folder[user] == nil {
			l.folder[user] = map[string][]state{}
		}
		states := l.folder[user][of.folder]
		i := slices.IndexFunc(states, func(s state) bool { return s.mailbox == of.mailbox })
		if i < 0 {
			i, states = len(states), append(states, state{mailbox: of.mailbox})
			l.folder[user][of.folder] = states
		}
		states[i].said = ln.Run
		if ln.Read {
			states[i].read = ln.Run
		}
	}
}

func (l *Log) run(n int) *Run {
	for i := len(l.Runs) - 1; i >= 0; i-- {
		if l.Runs[i].Number == n {
			return &l.Runs[i]
		}
	}
	return nil
}

// Last returns the last run, nil if there is none.
func (l *Log) Last() *Run {
	if len(l.Runs) == 0 {
		return nil
	}
	return &l.Runs[len(l.Runs)-1]
}

// forget leaves keptRuns runs. Those that Wholes returns stay, however many came after them.
func (l *Log) forget() {
	if len(l.Runs) <= keptRuns {
		return
	}
	wholes := l.Wholes()
	for i := range len(l.Runs) - 1 {
		if !slices.Contains(wholes, &l.Runs[i]) {
			l.Runs = slices.Delete(l.Runs, i, i+1)
			return
		}
	}
}

// Wholes returns the runs, the newest first, that looked at all users or at a shard of them, not only at
// users who were named, and were not followed by such runs for all whom they looked at.
func (l *Log) Wholes() (runs []*Run) {
	seen := map[string]bool{} // shards
	parts := map[string]int{} // how many of N were seen, by N
	for i := len(l.Runs) - 1; i >= 0; i-- {
		run := &l.Runs[i]
		if run.Chosen || seen[run.Shard] {
			continue
		}
		seen[run.Shard] = true
		runs = append(runs, run)
		_, n, _ := strings.Cut(run.Shard, "/")
		parts[n]++
		if run.Shard == "" || strconv.Itoa(parts[n]) == n {
			break
		}
	}
	return runs
}

// HadTurn reports whether a user was finished since the last run began that Wholes returns and that
// did not come to all of its users.
func (l *Log) HadTurn(user string) bool {
	i := slices.IndexFunc(l.wholes, func(run *Run) bool { return !run.cameToAll() })
	return i < 0 || l.Users[user].Run >= l.wholes[i].Number
}

// Each calls do for each line that holds now, in the order in which they were written:
// folder, problem and pop3 lines of each user's last run, in the history of migrate problems
// of folders that were not read again since, and problems of the host of the last run, if they
// are of a file also those of the last one that looked at more than users who were named, and
// if they say that a run did not come to all users, those of all that Wholes returns. It reads
// the file again; a line is not kept.
func (l *Log) Each(do func(Line) error) error {
	err := each(l.path, all, func(ln Line) error {
		if (ln.Type == "folder" || ln.Type == "problem" || ln.Type == "pop3") && l.holds(ln) {
			return do(ln)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

// holds reports whether a line is not obsolete.
func (l *Log) holds(ln Line) bool {
	if ln.User == "" {
		if last := l.Last(); last != nil && ln.Run == last.Number {
			return true
		}
		// What is beside the users' mail is looked at by each run for a shard, too.
		i := slices.IndexFunc(l.wholes, func(run *Run) bool { return run.Number == ln.Run })
		return i == 0 && ln.Folder != "" || i >= 0 && slices.Contains(leftUsers, ln.Kind)
	}
	user, ok := l.Users[ln.User]
	switch {
	case !ok:
		return false
	case ln.Type == "pop3":
		return ln.Run == l.pop3[ln.User]
	case ln.Run == user.Run:
		return true
	}
	return !l.anew && ln.lasting() && ln.Run < user.Run &&
		slices.ContainsFunc(l.states(ln), func(s state) bool { return s.said == user.Run && s.read <= ln.Run })
}

// all wants every line.
func all([]byte) bool { return true }

// notProblem reports whether a line may be another one than a problem, of which there
// are most. Inside of texts the quotes are escaped, so that no text is taken for a type.
func notProblem(b []byte) bool { return !bytes.Contains(b, []byte(`"message_type":"problem"`)) }

// each calls do for each line of a file that is wanted. A last line without its end, as a crash leaves
// it, is left out.
func each(path string, wanted func([]byte) bool, do func(Line) error) (err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	br := bufio.NewReaderSize(f, 1<<16)
	for n := 1; ; n++ {
		b, err := br.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		if !wanted(b) {
			continue
		}
		ln, err := parse(b)
		if err != nil {
			if _, more := br.Peek(1); more == io.EOF {
				return nil
			}
			return fmt.Errorf("%s: line %d is damaged: %w", path, n, err)
		}
		if err := do(ln); err != nil {
			return fmt.Errorf("%s: line %d: %w", path, n, err)
		}
	}
}

// compactEvery is how many runs a history takes before it is compacted: to write it anew
// costs more than it saves where little is obsolete.
const compactEvery = 4

// compact writes a history anew without its obsolete lines, if enough runs have come since
// that was done last. It returns the numbers of the last run, and of the last one that there
// was when it was done last.
func compact(path, command string) (last, compacted int, err error) {
	if err := removeUnfinished(path); err != nil {
		return 0, 0, err
	}
	run, err := lastRun(path)
	if err != nil {
		return 0, 0, err
	}
	if run != nil && run.Number < run.Compacted+compactEvery {
		return run.Number, run.Compacted, nil
	}
	l, err := read(path, command)
	if err != nil {
		return 0, 0, err
	}
	out, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600))
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, out.Cleanup()) }()
	bw := bufio.NewWriterSize(out, 1<<16)
	err = each(path, all, func(ln Line) error {
		if !l.needed(ln) {
			return nil
		}
		_, err := bw.Write(ln.raw)
		return err
	})
	if err := errors.Join(err, bw.Flush()); err != nil {
		return 0, 0, err
	}
	if run := l.Last(); run != nil {
		last = run.Number
	}
	return last, last, out.CloseAtomicallyReplace()
}

// lastRun returns how the last run of a history began, nil if there was none or the
// last line has no end.
func lastRun(path string) (last *Run, err error) {
	var whole int64 // bytes of lines with their ends
	isRun := func(b []byte) bool {
		whole += int64(len(b))
		return bytes.Contains(b, []byte(`"message_type":"run"`))
	}
	err = each(path, isRun, func(ln Line) error {
		last = &Run{}
		return json.Unmarshal(ln.raw, last)
	})
	if err != nil || last == nil {
		return nil, err
	}
	if st, err := os.Lstat(path); err != nil || st.Size() != whole {
		return nil, err
	}
	return last, nil
}

// standing is what the last run that finished a user said of him, in short.
type standing struct {
	beside bool // something, but no failure, and he had no folders
	own    bool // he had folders, or failed, or more was told than that nothing of his is migrated
}

// ofNobody are kinds of what is told of a user of whom nothing was found that is migrated.
var ofNobody = []string{"no-user", "system-user", "source-gone"}

// standings are those of all users of a history.
func standings(path string) (map[string]standing, error) {
	all, other := map[string]standing{}, map[string]int{} // of other, the last run that told it
	wanted := func(b []byte) bool {
		return bytes.Contains(b, []byte(`"message_type":"user"`)) || bytes.Contains(b, []byte(`"severity":"attention"`))
	}
	err := each(path, wanted, func(ln Line) error {
		switch {
		case ln.Type == "user": // after all that its run told of him; a run that was cut off has none
			failed := ln.Failures+ln.Differences > 0
			all[ln.User] = standing{beside: ln.Folders == 0 && ln.Notes+ln.Attentions > 0 && !failed, own: ln.Folders > 0 || failed || other[ln.User] == ln.Run}
		case !slices.Contains(ofNobody, ln.Kind):
			other[ln.User] = ln.Run
		}
		return nil
	})
	return all, err
}

// removeUnfinished removes what a run that was killed in compact left: renameio's name
// for it is that of the file, with a dot before it and a number behind.
func removeUnfinished(path string) error {
	dir, name := filepath.Split(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "."+name)
		if _, err := strconv.ParseUint(number, 10, 64); ok && err == nil {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// needed reports whether a later reader needs a line: more than those that hold, also
// what tells which of them do.
func (l *Log) needed(ln Line) bool {
	switch ln.Type {
	case "run", "status", "summary":
		return l.run(ln.Run) != nil
	case "user":
		return ln.Run == l.Users[ln.User].Run || l.readIn(ln)
	case "folder":
		return l.holds(ln) || ln.Read && slices.ContainsFunc(l.states(ln), func(s state) bool { return s.read == ln.Run })
	}
	return l.holds(ln) || l.mayHold(ln)
}

// mayHold reports whether a finding will hold again as soon as a run says that its folder has
// not changed: the last one said nothing of it, as the folder was in use or its user failed. So it
// may be that no run has said anything of it yet; but of what the plan leaves out, which has no
// mailbox, none ever will.
func (l *Log) mayHold(ln Line) bool {
	states := l.states(ln)
	return !l.anew && ln.lasting() &&
		(len(states) == 0 && ln.Mailbox != "" || slices.ContainsFunc(states, func(s state) bool { return s.read <= ln.Run }))
}

// readIn reports whether a user line finishes the run that last read one of his folders,
// or brought his last pop3 line.
func (l *Log) readIn(ln Line) bool {
	if l.pop3[ln.User] == ln.Run {
		return true
	}
	for _, states := range l.folder[ln.User] {
		if slices.ContainsFunc(states, func(s state) bool { return s.read == ln.Run }) {
			return true
		}
	}
	return false
}

// Command demo shows the whole job on a sample: it makes a small UW host and a
// private Cyrus in a scratch directory, migrates, starts Cyrus, reads every
// message back over IMAP and compares it with what UW served. It touches
// nothing outside the scratch directory and removes it at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
	"mbox2cyrus/internal/plural"
)

func main() {
	program := flag.String("program", "bin/mbox2cyrus", "the mbox2cyrus to show")
	keep := flag.Bool("keep", false, "keep the scratch directory")
	flag.Parse()
	if err := demo(*program, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo(program string, keep bool) (err error) {
	if err := cyrustest.Available(); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "mbox2cyrus-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if keep {
			fmt.Println("kept:", scratch)
			return
		}
		err = errors.Join(err, os.RemoveAll(scratch))
	}()
	// Cyrus's user must get through to its own part.
	if err := os.Chmod(scratch, 0o755); err != nil {
		return err
	}
	host := filepath.Join(scratch, "uw-host")
	say("A UW host: %s", host)
	truth, err := samplehost.Write(host, samplehost.Options{Seed: 1, Users: 3})
	if err != nil {
		return err
	}
	for _, u := range truth.Users {
		messages := 0
		for _, f := range u.Folders {
			messages += f.Count
		}
		fmt.Printf("  %-10s %-10s %-12s besides: %s\n", u.Name, plural.Count(len(u.Folders), "folder"), plural.Count(messages, "message"), plural.Count(len(u.NotMail), "other file"))
	}
	say("A private Cyrus, stopped: %s", filepath.Join(scratch, "cyrus"))
	srv, err := cyrustest.New(filepath.Join(scratch, "cyrus"), cyrustest.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()

	common := []string{"--source-root", host, "--imapd-conf", srv.Conf, "--state", filepath.Join(scratch, "state"), "--source-timezone", "UTC"}
	for _, step := range []struct {
		title string
		args  []string
	}{
		{"The migration", []string{"migrate"}},
		{"The same again: nothing to do", []string{"migrate"}},
		{"The proof once more, every byte of source and spool", []string{"verify", "--level", "content"}},
	} {
		say("%s", step.title)
		if err := run(program, append(step.args, common...)); err != nil {
			return err
		}
	}

	say("Cyrus is started; every user's mail is read over IMAP and compared with what UW served")
	return compare(srv, truth)
}

func say(format string, args ...any) { fmt.Printf("\n== "+format+"\n", args...) }

// run shows a command, its output and its exit code. Exit code 2 is expected:
// the sample host holds things that need a person.
func run(program string, args []string) error {
	fmt.Printf("$ mbox2cyrus %s\n", strings.Join(args, " "))
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 {
		return nil
	}
	return err
}

func compare(srv *cyrustest.Server, truth *samplehost.Truth) (err error) {
	for _, u := range truth.Users {
		if err := srv.AddUser(u.Name, "secret"); err != nil {
			return err
		}
	}
	if err := srv.Start(context.Background()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Stop()) }()
	fmt.Printf("imapd %s, pop3d %s\n", srv.IMAPAddr(), srv.POP3Addr())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tMAILBOX\tMESSAGES\tSAME BYTES, FLAGS, DATES, UIDS\tUIDVALIDITY\tUIDNEXT\tSUBSCRIBED")
	wrong, right, all := 0, 0, 0
	for _, u := range truth.Users {
		if len(u.Folders) == 0 {
			continue
		}
		views, err := cyrustest.ReadAll(srv.IMAPAddr(), u.Name, "secret")
		if err != nil {
			return fmt.Errorf("%s: %w", u.Name, err)
		}
		truthOf := map[string]samplehost.Message{}
		for _, f := range u.Folders {
			all += len(f.Messages)
			for _, m := range f.Messages {
				truthOf[key(m.SHA256[:], m.UID, m.InternalDate.Unix(), append(append([]string{}, m.Flags...), m.Keywords...))] = m
			}
		}
		for _, v := range views {
			same := 0
			for _, m := range v.Messages {
				if _, ok := truthOf[key(m.SHA256[:], m.UID, m.InternalDate.Unix(), m.Flags)]; ok {
					same++
				}
			}
			wrong += len(v.Messages) - same
			right += same
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%v\n", u.Name, v.Name, len(v.Messages), same, v.UIDValidity, v.UIDNext, v.Subscribed)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	pop, err := cyrustest.ReadPOP3(srv.POP3Addr(), truth.Users[0].Name, "secret")
	if err != nil {
		return err
	}
	if len(pop) > 0 {
		fmt.Printf("POP3 UIDL of %s's first message: %s (UIDVALIDITY.UID, both kept)\n", truth.Users[0].Name, pop[0].UIDL)
	}
	if wrong > 0 || right != all {
		return fmt.Errorf("UW served %d messages; of these %d are the same in Cyrus, which has %d others", all, right, wrong)
	}
	fmt.Printf("all %d messages are there, each as UW served it\n", all)
	return nil
}

// key is all that must be the same of a message.
func key(sum []byte, uid uint32, date int64, flags []string) string {
	lower := make([]string, len(flags))
	for i, f := range flags {
		lower[i] = strings.ToLower(f)
	}
	slices.Sort(lower)
	return fmt.Sprintf("%x %d %d %s", sum, uid, date, strings.Join(lower, " "))
}

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mbox2cyrus": main})
}

// TestScripts runs the program a command at a time, as an administrator does,
// on the programs and databases of a real Cyrus that is not running. $CONF is
// its imapd.conf, $BIN the directory of its programs,
// $CONTRIB that of the scripts which come along.
func TestScripts(t *testing.T) {
	if err := cyrustest.Available(); err != nil {
		t.Skip(err)
	}
	contrib, err := filepath.Abs(filepath.Join("..", "..", "contrib"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition: func(cond string) (bool, error) {
			if cond != "imapd-on-pipe" {
				return false, fmt.Errorf("no such condition: %s", cond)
			}
			return imapdOnPipe()
		},
		Setup: func(env *testscript.Env) error {
			srv, err := cyrustest.New("", cyrustest.Options{})
			if err != nil {
				return err
			}
			env.Defer(func() {
				if err := srv.Close(); err != nil {
					t.Error(err)
				}
			})
			env.Setenv("CONF", srv.Conf)
			env.Setenv("SPOOL", srv.Spool)
			env.Setenv("BIN", cyrustest.BinDir)
			env.Setenv("CONTRIB", contrib)
			tmp := filepath.Join(filepath.Dir(srv.Conf), "tmp") // Cyrus's user may go there
			if err := os.Mkdir(tmp, 0o700); err != nil {
				return err
			}
			if err := os.Chmod(tmp, 0o777|os.ModeSticky); err != nil {
				return err
			}
			env.Setenv("TMPDIR", tmp) // scratch directories of other tests are not seen
			env.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
		},
	})
}

// exits runs "exits CODE COMMAND ARG…" and wants that very exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("%s", fmt.Sprintf("exit code %d, want %d", code, want))
	}
}

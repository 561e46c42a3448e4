package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts run the command line in a process of its own, this test binary.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"gatehouse":         func() { os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr)) },
		"kubectl-gatehouse": func() { os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		// A script cannot spell it.
		Setup: func(env *testscript.Env) error { env.Setenv("ESC", "\x1b"); return nil },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exitcode":  exitCodeIs,
			"api":       startAPI,
			"apiwrites": apiWrites,
			"auditapi":  startAuditAPI, "auditstore": makeAuditStore, "damage": damageSegment, "removed": removeSegment, "auditbucket": publishStore,
		},
	})
}

// exitCodeIs runs a command and compares its exit code: exitcode CODE COMMAND…
func exitCodeIs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

func TestPrintableKeepsControlCharactersFromTheTerminal(t *testing.T) {
	const hostile = "a\x1b[2Jb\u009b31mc\x07d\x7fe\r"
	got := printable(hostile)
	if strings.ContainsAny(got, "\x1b\u009b\x07\x7f\r") {
		t.Errorf("got %q", got)
	}
	if plain := "größe\tσ\n"; printable(plain) != plain {
		t.Errorf("a plain text is changed to %q", printable(plain))
	}
}

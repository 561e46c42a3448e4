package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/gatehouse-io/gatehouse/test/oracle/program"
)

// options are the command's flags.
type options struct {
	// gatehouse is the binary to judge.
	gatehouse string
	// kubeconfig, when set, names a server that runs already; none is started.
	kubeconfig string
	// config is a ServeConfiguration for gatehouse; empty for its defaults.
	config string
	// out receives the reports and the logs.
	out string
	// programs keeps the built upstream programs.
	programs string
	// focus chooses the specs by name, before skip.yaml excludes some.
	focus string
	// procs is how many specs run at a time.
	procs int
	// timeout bounds the whole suite.
	timeout time.Duration
	// planOnly prints what would run and stops.
	planOnly bool
}

func main() {
	var o options
	flag.StringVar(&o.gatehouse, "gatehouse", defaultGatehouse(), "gatehouse `binary` to judge; default from GATEHOUSE_BIN")
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "judge the running server of this `file` instead of starting gatehouse")
	flag.StringVar(&o.config, "config", "", "configuration `file` for gatehouse serve")
	flag.StringVar(&o.out, "out", filepath.Join(os.TempDir(), "gatehouse-conformance"), "`directory` for junit_01.xml and the logs")
	flag.StringVar(&o.programs, "programs", program.DefaultDir(), "`directory` that keeps the built upstream programs")
	flag.StringVar(&o.focus, "focus", `\[sig-auth\]|\[sig-api-machinery\]`, "`expression` that chooses the specs")
	flag.IntVar(&o.procs, "procs", 2, "how many specs run at a time")
	flag.DurationVar(&o.timeout, "timeout", time.Hour, "limit for the whole suite")
	flag.BoolVar(&o.planOnly, "plan", false, "print which specs would run and why the others would not, and stop")
	flag.Parse()
	if flag.NArg() > 0 || o.procs < 1 {
		flag.Usage()
		os.Exit(2)
	}
	focus, err := regexp.Compile(o.focus)
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: read -focus: %v\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	total, err := run(ctx, o, focus)
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		if errors.Is(err, errNoBinary) {
			fmt.Fprintln(os.Stderr, "hint: build it first, and name it with -gatehouse or GATEHOUSE_BIN")
		}
		os.Exit(4)
	}
	if len(total.failed) > 0 {
		os.Exit(1)
	}
}

// errNoBinary says that there is no gatehouse to judge.
var errNoBinary = errors.New("no gatehouse binary")

// defaultGatehouse is GATEHOUSE_BIN, or where "make build" puts the binary as
// seen from this module's root.
func defaultGatehouse() string {
	if bin := os.Getenv("GATEHOUSE_BIN"); bin != "" {
		return bin
	}
	return filepath.Join("..", "..", "bin", "gatehouse")
}

// run judges one server and prints the verdict.
func run(ctx context.Context, o options, focus *regexp.Regexp) (tally, error) {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return tally{}, fmt.Errorf("make the output directory: %w", err)
	}
	s, err := buildSuite(ctx, o)
	if err != nil {
		return tally{}, err
	}
	skips, err := loadSkips()
	if err != nil {
		return tally{}, err
	}
	specs, err := s.list(ctx)
	if err != nil {
		return tally{}, err
	}
	plan, err := makePlan(specs, focus, skips)
	if err != nil {
		return tally{}, err
	}
	if o.planOnly {
		plan.print(os.Stdout)
		return tally{}, nil
	}
	kubeconfig := o.kubeconfig
	if kubeconfig == "" {
		server, err := startGatehouse(ctx, o)
		if err != nil {
			return tally{}, err
		}
		defer server.stop()
		kubeconfig = server.kubeconfig
	}
	if err := makeNode(ctx, kubeconfig); err != nil {
		return tally{}, err
	}
	fmt.Fprintf(os.Stderr, "run %d specs, %d at a time; follow %s\n", len(plan.run), o.procs, s.logFile())
	runErr := s.run(ctx, kubeconfig, focus, skips)
	cases, err := readJUnit(s.junitFile())
	if err != nil {
		return tally{}, errors.Join(err, runErr)
	}
	total := count(plan, cases)
	total.print(os.Stdout)
	if runErr != nil && len(total.failed) == 0 {
		return total, fmt.Errorf("every spec passed, yet %w", runErr)
	}
	return total, nil
}

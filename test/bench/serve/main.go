package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gatehouse-io/gatehouse/test/bench/page"
)

// options are the command's flags.
type options struct {
	// gatehouse is the binary to measure.
	gatehouse string
	// config is a ServeConfiguration for gatehouse; empty for its defaults.
	config string
	// oracle is the folder of the module that pins the stock programs.
	oracle string
	// programs keeps the built stock programs; empty for the oracle's default.
	programs string
	// dir holds the data directories of both sides.
	dir string
	// page is the document whose marked section is rewritten; empty for none.
	page string
	// only restricts the run to one side, by name.
	only string
	// runs is how often each side is measured.
	runs int
	// settle is the pause between ready and the reading of idle memory.
	settle time.Duration
	// work is how much each phase does.
	work workload
}

func main() {
	o := options{work: defaultWorkload}
	flag.StringVar(&o.gatehouse, "gatehouse", defaultGatehouse(), "gatehouse `binary` to measure; default from GATEHOUSE_BIN")
	flag.StringVar(&o.config, "config", "", "configuration `file` for gatehouse serve; none measures the defaults")
	flag.StringVar(&o.oracle, "oracle", filepath.Join("test", "oracle"), "`folder` of the module that pins stock Kubernetes")
	flag.StringVar(&o.programs, "programs", "", "`directory` that keeps the built stock programs; default in the user's cache")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "`directory` on whose disk both sides keep their data")
	flag.StringVar(&o.page, "page", filepath.Join("docs", "performance.md"), "`document` to rewrite the section of; empty for none")
	flag.StringVar(&o.only, "only", "", "measure one `side` alone, gatehouse or stock, and write no page")
	flag.IntVar(&o.runs, "runs", 5, "how often to measure each side")
	flag.DurationVar(&o.settle, "settle", 30*time.Second, "pause between ready and reading idle memory")
	flag.IntVar(&o.work.clients, "clients", o.work.clients, "clients, each with a connection of its own")
	flag.IntVar(&o.work.creates, "creates", o.work.creates, "objects created in a phase")
	flag.IntVar(&o.work.gets, "gets", o.work.gets, "objects read in a phase")
	flag.IntVar(&o.work.lists, "lists", o.work.lists, "lists of 500 objects in a phase")
	flag.Parse()
	if err := o.validate(); err != nil || flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(4)
	}
}

// defaultGatehouse is GATEHOUSE_BIN, or where "make build" puts the binary.
func defaultGatehouse() string {
	if bin := os.Getenv("GATEHOUSE_BIN"); bin != "" {
		return bin
	}
	return filepath.Join("bin", "gatehouse")
}

// validate names the flag that is wrong.
func (o options) validate() error {
	w := o.work
	switch {
	case o.only != "" && o.only != nameGatehouse && o.only != nameStock:
		return fmt.Errorf("-only must be %s or %s", nameGatehouse, nameStock)
	case o.runs < 1:
		return fmt.Errorf("-runs must be at least 1")
	case w.clients < 1 || w.creates < 1 || w.gets < 1 || w.lists < 1:
		return fmt.Errorf("-clients, -creates, -gets and -lists must be at least 1")
	}
	return nil
}

// run measures and reports.
func run(ctx context.Context, o options) error {
	sides, err := makeSides(ctx, o)
	if err != nil {
		return err
	}
	root, err := os.MkdirTemp(o.dir, "gh-bench-")
	if err != nil {
		return fmt.Errorf("make a data directory: %w", err)
	}
	defer os.RemoveAll(root)
	load := page.LoadAverage()
	results, err := measureAll(ctx, o, sides, root)
	if err != nil {
		return err
	}
	rows := makeRows(results)
	report := renderTables(rows)
	fmt.Print(report)
	fmt.Fprintf(os.Stderr, "load average before the first run: %s\n", load)
	if o.only != "" || o.page == "" {
		return nil
	}
	section := renderSection(describe(results, o, load), report)
	if err := page.Rewrite(o.page, "bench-serve", section); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "wrote %s\n", o.page)
	return nil
}

// Command policy (make bench-policy) measures the policy gate beside what it stands in
// for, both sides in one run, and writes the result into docs/performance.md:
//
//   - in process: policies of each language over Pods and Deployments, and Gatekeeper's
//     own client on the same templates and constraints in a process of its own;
//   - gatehouse check on one core;
//   - through API servers: the creation of Pods with and without policies, at a stock
//     kube-apiserver with ValidatingAdmissionPolicies, with Gatekeeper's own program
//     behind its webhook and with gatehouse attach, and at gatehouse serve.
//
// Sides take turns, and a number is the median of the turns. Through API servers the
// turns without and with policies are of the same server, which is started for each round.
//
//	go run ./test/bench/policy -gatehouse bin/gatehouse -client dist/gatekeeper-oracle
//	go run ./test/bench/policy -only process -page ""   # try it; writes no page
//
// Exit codes: 0 measured, whether or not the targets are met; 2 wrong usage; 4 a side
// could not be run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gatehouse-io/gatehouse/test/bench/page"
)

// options are the command's flags.
type options struct {
	gatehouse, client, webhook, oracle, page, only, rows string
	rounds, each, creates, clients                       int
}

// The parts that -only chooses from.
const partProcess, partCheck, partServers = "process", "check", "servers"

func main() {
	var o options
	flag.StringVar(&o.gatehouse, "gatehouse", filepath.Join("bin", "gatehouse"), "gatehouse `binary`")
	flag.StringVar(&o.client, "client", filepath.Join("dist", "gatekeeper-oracle"), "the program of test/oracle/gatekeeper, built; empty measures one side")
	flag.StringVar(&o.webhook, "webhook", filepath.Join("dist", "gatekeeper"), "Gatekeeper's own program, built")
	flag.StringVar(&o.oracle, "oracle", filepath.Join("test", "oracle"), "`folder` of the module that pins stock Kubernetes")
	flag.StringVar(&o.page, "page", filepath.Join("docs", "performance.md"), "`document` to rewrite the section of; empty for none")
	flag.StringVar(&o.only, "only", "", "measure one part alone, process, check or servers, and write no page")
	flag.StringVar(&o.rows, "rows", "", "of one part, measure the rows whose title has this `text` alone, such as \"19 Gatekeeper constraints in Rego\", or \"gatehouse serve, 100 V\" at servers; writes no page")
	flag.IntVar(&o.rounds, "rounds", 5, "how many turns each side has, and at servers how many rounds of two turns each")
	flag.IntVar(&o.each, "each", 200, "how many requests a turn in process has; fewer of many policies")
	flag.IntVar(&o.creates, "creates", 2000, "how many Pods a turn at a server creates")
	flag.IntVar(&o.clients, "clients", 4, "how many Pods are created at a time")
	flag.Parse()
	known := o.only == "" || o.only == partProcess || o.only == partCheck || o.only == partServers
	if flag.NArg() > 0 || !known || min(o.rounds, o.each, o.creates, o.clients) < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(4)
	}
}

func (o *options) run(ctx context.Context) error {
	load := page.LoadAverage()
	var parts []string
	for _, part := range []struct {
		name    string
		measure func(context.Context) (string, error)
	}{{partProcess, o.inProcess}, {partCheck, o.checks}, {partServers, o.servers}} {
		if o.only != "" && o.only != part.name {
			continue
		}
		text, err := part.measure(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Println(text)
		parts = append(parts, text)
	}
	if o.only != "" || o.rows != "" || o.page == "" {
		return nil
	}
	return page.Rewrite(o.page, "bench-policy", o.heading(load)+strings.Join(parts, "\n"))
}

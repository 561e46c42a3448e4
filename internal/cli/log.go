package cli

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// startNoise are lines upstream says as warnings or errors though nothing is
// wrong, or though it is said better elsewhere. They are shown at level info.
var startNoise = [][]byte{
	[]byte("because it has no resources."),                                  // each API version that is off by default
	[]byte("The manifest file is empty, ignoring."),                         // no metrics allow-list is configured
	[]byte("simple token is not cryptographically signed"),                  // etcd's user/password tokens, which are off
	[]byte("setting up serving from embedded etcd failed"),                  // a listener that is closed at a stop
	[]byte("Failed to detect schema version"),                               // etcd's first start on an empty folder
	[]byte("failed to update storage version"),                              // the same; it is written with the first snapshot
	[]byte("addrConn.createTransport failed to connect"),                    // each retry of an etcd that is away: /readyz and the log say it once
	[]byte("etcd: request stats"),                                           // kilobytes of keys about one slow request
	[]byte("Unable to remove peer endpoint leases"),                         // a stop of a server that has no peers
	[]byte("removed previous endpoints on kubernetes service"),              // a restart
	[]byte("Resetting endpoints for master service \"kubernetes\""),         // a start
	[]byte("Use of insecure cipher"),                                        // listing, not use
	[]byte("AggregationController: action for item v1beta1."),               // a retry that is about to succeed
	[]byte("unable to find resource lister/informer for metadata informer"), // quota looks before discovery is done
}

// setUpLogging points klog, which upstream logs through, at w.
//
// Text lines are klog's own (a letter for the severity, time, source, message),
// so that they can be compared with any Kubernetes component's. JSON lines are
// one object each; klog hands warnings on as information there, so the level
// warning shows both.
func setUpLogging(l v1alpha1.LoggingOptions, w io.Writer) error {
	verbosity := map[string]string{"error": "0", "warning": "0", "info": "2", "debug": "5"}[l.Level]
	if verbosity == "" {
		return fmt.Errorf("logging level %q is not known", l.Level)
	}
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	err := errors.Join(
		flags.Set("v", verbosity),
		flags.Set("logtostderr", "false"),
		flags.Set("one_output", "true"),
		flags.Set("stderrthreshold", "FATAL"),
	)
	quiet := l.Level == "error" || l.Level == "warning"
	if l.Format == "json" {
		least := slog.LevelInfo
		switch l.Level {
		case "error":
			least = slog.LevelError
		case "debug":
			least = slog.LevelDebug - 1 // klog's V(5)
		case "info":
			least = slog.LevelInfo - 2
		}
		if quiet {
			w = &noiseFilter{w}
		}
		klog.SetSlogLogger(slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least})))
		return err
	}
	least := map[string]int{"error": 2, "warning": 1}[l.Level]
	for severity, name := range []string{"INFO", "WARNING", "ERROR"} {
		switch {
		case severity < least:
			klog.SetOutputBySeverity(name, io.Discard)
		case quiet:
			klog.SetOutputBySeverity(name, &noiseFilter{w})
		default:
			klog.SetOutputBySeverity(name, w)
		}
	}
	return err
}

// noiseFilter drops startNoise. Each Write is one whole line.
type noiseFilter struct{ w io.Writer }

func (f *noiseFilter) Write(line []byte) (int, error) {
	for _, noise := range startNoise {
		if bytes.Contains(line, noise) {
			return len(line), nil
		}
	}
	return f.w.Write(line)
}

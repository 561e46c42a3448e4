package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// readyTimeout bounds a start, on a machine that is busy.
	readyTimeout = 2 * time.Minute
	// readyPoll is the pause between two questions to /readyz: fine enough for
	// two digits of a start of one second, at a cost that does not show.
	readyPoll = 10 * time.Millisecond
	// askTimeout bounds one question. A server binds its port before it serves,
	// and a question asked in between hangs; a short bound keeps a question that
	// is never answered from passing for a slow start.
	askTimeout = time.Second
	// stopTimeout is how long a server may take to stop before it is killed.
	stopTimeout = time.Minute
)

// program is one executable of a side.
type program struct {
	name, path string
	args       []string
}

// instance is a side that was started: one process, or several that count as
// one.
type instance struct {
	side   string
	config configFunc
	// began is the moment before the first exec.
	began time.Time
	procs []*process
	// client asks /readyz; it is made again whenever the server's answer cannot
	// be trusted, since a kubeconfig may be replaced while a server starts.
	client *http.Client
	host   string
}

// process is one running program.
type process struct {
	program
	cmd *exec.Cmd
	// exited is closed when the process is gone; exitErr is set before.
	exited  chan struct{}
	exitErr error
	logFile string
}

// startInstance executes the programs one right after the other.
func startInstance(side string, config configFunc, logDir string, programs ...program) (*instance, error) {
	i := &instance{side: side, config: config, began: time.Now()}
	for _, p := range programs {
		proc, err := startProcess(p, logDir)
		if err != nil {
			return nil, errors.Join(err, i.stop())
		}
		i.procs = append(i.procs, proc)
	}
	return i, nil
}

func startProcess(p program, logDir string) (*process, error) {
	proc := &process{program: p, exited: make(chan struct{}), logFile: filepath.Join(logDir, p.name+".log")}
	log, err := os.OpenFile(proc.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the log of %s: %w", p.name, err)
	}
	defer log.Close()
	proc.cmd = exec.Command(p.path, p.args...)
	proc.cmd.Stdout, proc.cmd.Stderr = log, log
	if err := proc.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		proc.exitErr = proc.cmd.Wait()
		close(proc.exited)
	}()
	return proc, nil
}

// waitReady returns the time from exec until /readyz answered 200.
func (i *instance) waitReady(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		err := i.askReady(ctx)
		if err == nil {
			return time.Since(i.began), nil
		}
		if dead := i.firstExited(); dead != nil {
			return 0, fmt.Errorf("%s exited before it was ready (%v):\n%s", dead.name, dead.exitErr, tail(dead.logFile))
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for %s to be ready: %w: %w", i.side, ctx.Err(), err)
		case <-time.After(readyPoll):
		}
	}
}

// askReady asks /readyz once, as the administrator: stock refuses anonymous
// requests when it runs with AlwaysAllow.
func (i *instance) askReady(ctx context.Context) error {
	if i.client == nil {
		config, err := i.config()
		if err != nil {
			return err
		}
		config.Timeout = askTimeout
		if i.client, err = rest.HTTPClientFor(config); err != nil {
			return err
		}
		i.host = config.Host
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.host+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := i.client.Do(req)
	if err != nil {
		if !errors.Is(err, syscall.ECONNREFUSED) {
			i.client = nil
		}
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answered %s", res.Status)
	}
	return nil
}

// firstExited returns a process that is gone, or nil.
func (i *instance) firstExited() *process {
	for _, p := range i.procs {
		select {
		case <-p.exited:
			return p
		default:
		}
	}
	return nil
}

// stop ends the processes as an operator would, the last started first, and
// kills what does not end.
func (i *instance) stop() error {
	var errs []error
	for n := len(i.procs) - 1; n >= 0; n-- {
		p := i.procs[n]
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.exited:
		case <-time.After(stopTimeout):
			_ = p.cmd.Process.Kill()
			<-p.exited
			errs = append(errs, fmt.Errorf("stop %s: still there after %s, killed", p.name, stopTimeout))
		}
	}
	return errors.Join(errs...)
}

// tail returns the end of a log, for an error that a person has to act on.
func tail(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}

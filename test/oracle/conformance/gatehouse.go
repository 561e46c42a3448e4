package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// readyTimeout bounds the start of the server, on a machine that is busy.
const readyTimeout = 2 * time.Minute

// gatehouse is a running "gatehouse serve" on a directory of its own.
type gatehouse struct {
	// kubeconfig is the administrator's.
	kubeconfig string
	// dir is the data directory; stop removes it.
	dir string
	cmd *exec.Cmd
	// exited is closed when the process is gone; exitErr is set before.
	exited  chan struct{}
	exitErr error
}

// startGatehouse starts the server on an empty directory and waits until it is
// ready.
func startGatehouse(ctx context.Context, o options) (*gatehouse, error) {
	bin, err := filepath.Abs(o.gatehouse)
	if err != nil {
		return nil, fmt.Errorf("find gatehouse: %w", err)
	}
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoBinary, err)
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gatehouse-conformance-")
	if err != nil {
		return nil, fmt.Errorf("make a data directory: %w", err)
	}
	g := &gatehouse{
		kubeconfig: filepath.Join(dir, "admin.kubeconfig"),
		dir:        dir,
		exited:     make(chan struct{}),
	}
	args := []string{"serve", "--data-dir", dir, "--listen", addr}
	if o.config != "" {
		args = append(args, "--config", o.config)
	}
	g.cmd = exec.Command(bin, args...)
	logFile := filepath.Join(o.out, "gatehouse.log")
	log, err := os.Create(logFile)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the server's log: %w", err), os.RemoveAll(dir))
	}
	defer log.Close()
	g.cmd.Stdout, g.cmd.Stderr = log, log
	if err := g.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start gatehouse: %w", err), os.RemoveAll(dir))
	}
	go func() {
		g.exitErr = g.cmd.Wait()
		close(g.exited)
	}()
	if err := g.waitReady(ctx); err != nil {
		g.stop()
		return nil, fmt.Errorf("%w (see %s)", err, logFile)
	}
	return g, nil
}

// waitReady polls /readyz as anybody may, with the CA from the kubeconfig.
func (g *gatehouse) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := errors.New("not asked yet")
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for gatehouse to be ready: %w: %w", ctx.Err(), last)
		case <-g.exited:
			return fmt.Errorf("gatehouse exited before it was ready: %w", exitError(g.exitErr))
		case <-tick.C:
		}
		if last = askReady(ctx, g.kubeconfig); last == nil {
			return nil
		}
	}
}

// askReady returns nil when the server of the kubeconfig says it is ready.
func askReady(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config = rest.AnonymousClientConfig(config)
	config.Timeout = 5 * time.Second
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answered %s", res.Status)
	}
	return nil
}

// stop ends the server as an operator would, and removes its data.
func (g *gatehouse) stop() {
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.exited:
	case <-time.After(time.Minute):
		_ = g.cmd.Process.Kill()
		<-g.exited
	}
	_ = os.RemoveAll(g.dir)
}

// exitError makes an error of a process that ended well though it should not
// have ended at all.
func exitError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// freeAddress finds a loopback port that nothing listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

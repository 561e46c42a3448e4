package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/gatehouse-io/gatehouse/test/e2e/kept"
)

// ReadyTimeout bounds a start. It is generous: two cores may be shared with a
// compiler.
const ReadyTimeout = 90 * time.Second

// Options shape a server. The zero value is what a newcomer gets.
type Options struct {
	// Dir is the data directory. Default: a fresh one, removed after the test.
	Dir string
	// Listen is the address. Default: 127.0.0.1 and a free port.
	Listen string
	// Config is the body of a ServeConfiguration, without apiVersion and kind.
	// Default: no --config.
	Config string
	// Args are further flags.
	Args []string
	// Env is added to the environment, NAME=VALUE.
	Env []string
}

// Server is a running Gatehouse.
type Server struct {
	// Dir is its data directory.
	Dir string
	// URL is where its API is, such as https://127.0.0.1:40123.
	URL string

	opts Options
	cmd  *exec.Cmd
	log  *safeBuffer
	done chan struct{} // closed when the process has ended
	err  error         // of the ended process; read after done
}

// Start starts a server, waits until it is ready, and stops it when t ends.
func Start(t testing.TB, opts Options) *Server {
	t.Helper()
	s := Launch(t, opts)
	s.AwaitReady(t)
	return s
}

// Launch starts a server and does not wait for it.
func Launch(t testing.TB, opts Options) *Server {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	if opts.Dir == "" {
		// t.TempDir is too long for a unix socket under long test names.
		dir, err := os.MkdirTemp("", "gh-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		opts.Dir = filepath.Join(dir, "d")
	}
	if opts.Listen == "" {
		opts.Listen = FreeAddress(t)
	}
	args := []string{"serve", "--data-dir", opts.Dir, "--listen", opts.Listen}
	if opts.Config != "" {
		file := filepath.Join(filepath.Dir(opts.Dir), "serve.yaml")
		text := "apiVersion: gatehouse.io/v1alpha1\nkind: ServeConfiguration\n" + opts.Config + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", file)
	}
	s := &Server{
		Dir: opts.Dir, URL: "https://" + opts.Listen, opts: opts,
		cmd: exec.Command(bin, append(args, opts.Args...)...),
		log: &safeBuffer{}, done: make(chan struct{}),
	}
	said := io.MultiWriter(s.log, kept.Log(t, "serve"))
	s.cmd.Stdout, s.cmd.Stderr = said, said
	s.cmd.Env = append(os.Environ(), opts.Env...)
	// The server ends with the test process, however that ends.
	s.cmd.SysProcAttr = dieWithParent()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(func() {
		s.Kill()
		kept.AuditLog(t, s.Path("audit"))
		if t.Failed() {
			t.Logf("the server said:\n%s", s.Log())
		}
	})
	return s
}

// Restart starts the server again on its directory and address. It must have
// ended.
func (s *Server) Restart(t testing.TB) *Server {
	t.Helper()
	return Start(t, s.opts)
}

// AwaitReady waits until /readyz answers 200.
func (s *Server) AwaitReady(t testing.TB) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(ReadyTimeout); ; time.Sleep(20 * time.Millisecond) {
		select {
		case <-s.done:
			t.Fatalf("server ended before it was ready (%v):\n%s", s.err, s.Log())
		default:
		}
		resp, err := client.Get(s.URL + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("server is not ready after %v:\n%s", ReadyTimeout, s.Log())
		}
	}
}

// Stop asks the server to stop and returns its exit code.
func (s *Server) Stop(t testing.TB) int {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	return s.Wait(t, 30*time.Second)
}

// Wait waits for the server to end by itself and returns its exit code.
func (s *Server) Wait(t testing.TB, limit time.Duration) int {
	t.Helper()
	select {
	case <-s.done:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("server still runs after %v:\n%s", limit, s.Log())
		return -1
	}
}

// Kill ends the server at once (SIGKILL) and waits until it is gone.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// PID of the process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Log is what the server has said so far, on stdout and stderr.
func (s *Server) Log() string { return s.log.String() }

// Path is a path in the data directory.
func (s *Server) Path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

// Kubeconfig is the administrator's.
func (s *Server) Kubeconfig() string { return s.Path("admin.kubeconfig") }

// AdminConfig is the administrator's client configuration, without client-side
// throttling.
func (s *Server) AdminConfig(t testing.TB) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	config.Wrap(kept.Transport)
	return config
}

// AnonymousConfig is AdminConfig without its credentials: add others to it.
func (s *Server) AnonymousConfig(t testing.TB) *rest.Config {
	t.Helper()
	config := rest.AnonymousClientConfig(s.AdminConfig(t))
	config.QPS = -1
	config.Wrap(kept.Transport)
	return config
}

// TokenConfig presents a bearer token.
func (s *Server) TokenConfig(t testing.TB, token string) *rest.Config {
	t.Helper()
	config := s.AnonymousConfig(t)
	config.BearerToken = token
	return config
}

// UserConfig is a client with a certificate for this user, made by
// `gatehouse admin kubeconfig`.
func (s *Server) UserConfig(t testing.TB, user string, groups ...string) *rest.Config {
	t.Helper()
	args := []string{"admin", "kubeconfig", "--data-dir", s.Dir, "--user", user, "--ttl", "1h", "--allow-system-masters"}
	for _, g := range groups {
		args = append(args, "--group", g)
	}
	out, err := exec.Command(s.cmd.Path, args...).Output()
	if err != nil {
		t.Fatalf("issue kubeconfig: %v", err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(out)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	config.Wrap(kept.Transport)
	return config
}

// Admin is a client with the administrator's certificate.
func (s *Server) Admin(t testing.TB) kubernetes.Interface {
	t.Helper()
	return Client(t, s.AdminConfig(t))
}

// Client makes a typed client.
func Client(t testing.TB, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Dynamic makes a client for any kind.
func Dynamic(t testing.TB, config *rest.Config) dynamic.Interface {
	t.Helper()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// FreeAddress is 127.0.0.1 and a port that was free a moment ago.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Eventually tries until f returns nil, and fails the test with the last error
// after limit.
func Eventually(t testing.TB, limit time.Duration, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %v: %v", limit, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Command runs the program under test and returns what it said and its exit code.
func Command(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr = &out, io.MultiWriter(&errs, kept.Log(t, "command"))
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// AuditEvents are the lines of the audit log that contain each of the texts.
func (s *Server) AuditEvents(t testing.TB, containing ...string) []string {
	t.Helper()
	data, err := os.ReadFile(s.Path("audit", "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
lines:
	for line := range strings.Lines(string(data)) {
		for _, text := range containing {
			if !strings.Contains(line, text) {
				continue lines
			}
		}
		found = append(found, line)
	}
	return found
}

// safeBuffer is a bytes.Buffer for one writer and many readers.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

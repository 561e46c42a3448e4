package attach

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/test/e2e/kept"
)

// process is a program that runs until it is stopped or the test ends.
type process struct {
	name string
	args []string
	cmd  *exec.Cmd
	log  *journal
	done chan struct{}
}

// journal is what a program has said. It is safe for concurrent use.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

func launch(t *testing.T, bin string, args ...string) *process {
	t.Helper()
	p := &process{name: filepath.Base(bin), args: args, cmd: exec.Command(bin, args...), log: &journal{}, done: make(chan struct{})}
	said := io.Writer(p.log)
	if p.name != "etcd" {
		said = io.MultiWriter(said, kept.Log(t, p.name))
	}
	p.cmd.Stdout, p.cmd.Stderr = said, said
	p.cmd.SysProcAttr = dieWithParent()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text := p.log.String()
			t.Logf("%s said, at the end:\n%s", p.name, text[max(0, len(text)-6000):])
		}
	})
	return p
}

// kill ends it at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop asks it to end, and returns its exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s still runs after it was told to stop:\n%s", p.name, p.log)
	}
	return p.cmd.ProcessState.ExitCode()
}

// again starts it anew with the same arguments.
func (p *process) again(t *testing.T) *process {
	t.Helper()
	return launch(t, p.cmd.Path, p.args...)
}

// moduleRoot is the folder of go.mod.
var moduleRoot = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	return strings.TrimSpace(string(out)), err
})

// stockPrograms are the paths of kube-apiserver and etcd.
var stockPrograms = sync.OnceValues(func() ([]string, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	args := []string{"-C", filepath.Join(root, "test", "oracle"), "run", "./cmd/oracle"}
	if dir := os.Getenv("GATEHOUSE_ORACLE_DIR"); dir != "" {
		args = append(args, "-dir", dir)
	}
	build := exec.Command("go", append(args, "kube-apiserver", "etcd")...)
	build.Stderr = os.Stderr
	out, err := build.Output()
	return strings.Fields(string(out)), err
})

// kubectlBinary is bin/kubectl, made where it is missing.
var kubectlBinary = sync.OnceValues(func() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, "bin", "kubectl")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	build := exec.Command("make", "kubectl")
	build.Dir, build.Stderr = root, os.Stderr
	return bin, build.Run()
})

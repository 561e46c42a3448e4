// Package kubectl drives a server with the real kubectl of the same Kubernetes
// release, the way the README's tour does.
package kubectl

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// binary is bin/kubectl, made where it is missing.
var binary = sync.OnceValues(func() (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(strings.TrimSpace(string(root)), "bin", "kubectl")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	build := exec.Command("make", "kubectl")
	build.Dir = strings.TrimSpace(string(root))
	build.Stderr = os.Stderr
	return bin, build.Run()
})

// session is one user's kubectl.
type session struct {
	t          *testing.T
	kubeconfig string
	bin        string
}

func newSession(t *testing.T, kubeconfig string) *session {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatalf("build kubectl: %v", err)
	}
	return &session{t, kubeconfig, bin}
}

// run runs a command and returns everything it said.
func (s *session) run(stdin string, args ...string) (string, error) {
	cmd := exec.Command(s.bin, append([]string{"--kubeconfig", s.kubeconfig}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+s.t.TempDir()) // no cache of another test's discovery
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// ok runs a command that must succeed and say want.
func (s *session) ok(want string, args ...string) {
	s.t.Helper()
	out, err := s.run("", args...)
	if err != nil || !strings.Contains(out, want) {
		s.t.Errorf("kubectl %s: %v, want %q in:\n%s", strings.Join(args, " "), err, want, out)
	}
}

// refused runs a command that must fail and say why.
func (s *session) refused(why string, args ...string) {
	s.t.Helper()
	out, err := s.run("", args...)
	if err == nil || !strings.Contains(out, why) {
		s.t.Errorf("kubectl %s: %v, want a refusal that says %q:\n%s", strings.Join(args, " "), err, why, out)
	}
}

// apply applies a manifest and returns what kubectl said.
func (s *session) apply(manifest string) string {
	s.t.Helper()
	out, err := s.run(manifest, "apply", "-f", "-")
	if err != nil {
		s.t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
	return out
}

func TestTour(t *testing.T) {
	s := server.Start(t, server.Options{})
	admin := newSession(t, s.Kubeconfig())
	admin.ok("gatehouse:admins", "auth", "whoami")
	admin.ok("Server Version: v1.37.2+gatehouse", "version")
	// A custom resource's schema is published a moment after the start.
	server.Eventually(t, 30*time.Second, func(context.Context) error {
		if out, err := admin.run("", "explain", "revocations"); err != nil || !strings.Contains(out, "Revocation names credentials that no longer count") {
			return fmt.Errorf("kubectl explain: %v %s", err, out)
		}
		return nil
	})

	admin.ok("created", "create", "namespace", "shop")
	admin.ok("created", "create", "role", "reader", "-n", "shop", "--verb=get,list", "--resource=pods")
	admin.ok("created", "create", "rolebinding", "readers", "-n", "shop", "--role=reader", "--group=devs")

	file := filepath.Join(t.TempDir(), "jane.kubeconfig")
	if _, stderr, code := server.Command(t, "admin", "kubeconfig", "--data-dir", s.Dir, "--user", "jane", "--group", "devs", "--ttl", "1h", "--output-file", file); code != 0 {
		t.Fatalf("issue kubeconfig: %s", stderr)
	}
	jane := newSession(t, file)
	jane.ok("No resources found", "get", "pods", "-n", "shop")
	jane.refused(`User "jane" cannot delete resource "pods"`, "delete", "pod", "x", "-n", "shop")
	jane.refused(`cannot list resource "secrets"`, "get", "secrets", "-n", "shop")

	admin.refused(`violates PodSecurity "baseline:latest"`, "run", "p", "-n", "shop", "--image=registry.example.org/p", "--privileged")
	admin.ok(`would violate PodSecurity "restricted:latest"`, "run", "p", "-n", "shop", "--image=registry.example.org/p")

	admin.apply("apiVersion: gatehouse.io/v1alpha1\nkind: Revocation\nmetadata: {name: jane}\nspec: {user: {name: jane, issuedBefore: \"2999-01-01T00:00:00Z\"}, reason: laptop lost}\n")
	server.Eventually(t, 5*time.Second, func(context.Context) error {
		if out, err := jane.run("", "get", "pods", "-n", "shop"); err == nil || !strings.Contains(out, "You must be logged in to the server") {
			return fmt.Errorf("jane is still let in: %v %s", err, out)
		}
		return nil
	})
	admin.ok("laptop lost", "get", "revocations")
	admin.ok("deleted", "delete", "revocation", "jane")
}

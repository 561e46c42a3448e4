package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// side is an API server that runs, and what else was started beside it.
type side struct {
	dir    string
	config *rest.Config
	procs  []*exec.Cmd
	// settled is an error while the side judges what exists; nil where it does not.
	settled func(context.Context) error
}

// token is the administrator's at the stock API server.
const token = "bench-token-0123456789"

func (s *side) path(name string) string { return filepath.Join(s.dir, name) }

// launch starts a program, whose output goes into a log of the side's folder.
func (s *side) launch(name, path string, env []string, args ...string) (*exec.Cmd, error) {
	log, err := os.OpenFile(s.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s.procs = append(s.procs, cmd)
	return cmd, nil
}

// stop ends what was started, the last first.
func (s *side) stop() {
	for i := len(s.procs) - 1; i >= 0; i-- {
		end(s.procs[i])
	}
	s.procs = nil
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait() // how it ends says nothing here
	timer.Stop()
}

// cpu is what the programs of a side have used so far.
func (s *side) cpu() (time.Duration, error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux of ours
	var sum time.Duration
	for _, p := range s.procs {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
		if err != nil {
			return 0, err
		}
		// The name, in parentheses, may hold anything; user and system time are the
		// twelfth and thirteenth field behind it.
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		for _, field := range fields[11:13] {
			ticks, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, err
			}
			sum += time.Duration(ticks) * tick
		}
	}
	return sum, nil
}

// settle waits until a side has next to nothing to do: a policy that is new is checked
// by controllers, and held against what is there, which gatehouse does at a rate that the
// processor hardly shows.
func (s *side) settle(ctx context.Context) error {
	if s.settled != nil {
		if err := until(ctx, "what exists to be judged", 2*time.Minute, s.settled); err != nil {
			return err
		}
	}
	for range 60 {
		before, err := s.cpu()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		after, err := s.cpu()
		if err != nil {
			return err
		}
		if after-before < 120*time.Millisecond {
			return nil
		}
	}
	return nil
}

// collect collects garbage, so that the collections of a turn, which are most of what is slow,
// come after as many Pods in each.
func (s *side) collect(ctx context.Context) error {
	client, err := rest.HTTPClientFor(s.config)
	if err != nil {
		return err
	}
	return get(ctx, client, s.config.Host+"/debug/pprof/heap?gc=1")
}

// log is the end of a program's log, for an error that a person has to act on.
func (s *side) log(name string) string {
	data, err := os.ReadFile(s.path(name + ".log"))
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-3000):])
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// until asks until there is no error.
func until(ctx context.Context, what string, limit time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", what, ctx.Err(), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// ready asks an API server whether it is.
func (s *side) ready(ctx context.Context) error {
	config := rest.CopyConfig(s.config)
	config.Timeout = 2 * time.Second
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	return get(ctx, client, config.Host+"/readyz")
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(url + " answers " + resp.Status)
	}
	return nil
}

// startStock starts upstream's kube-apiserver, with AlwaysAllow and without audit and
// encryption, and etcd beside it.
func startStock(ctx context.Context, oracle, dir string) (s *side, err error) {
	build := exec.CommandContext(ctx, "go", "-C", oracle, "run", "./cmd/oracle", "kube-apiserver", "etcd")
	build.Stderr = os.Stderr
	out, err := build.Output()
	programs := strings.Fields(string(out))
	if err != nil || len(programs) != 2 {
		return nil, fmt.Errorf("build stock kube-apiserver and etcd: %w %q", err, programs)
	}
	s = &side{dir: dir}
	cert, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, err
	}
	account, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{"server.crt": cert, "server.key": key, "sa.key": account, "tokens.csv": []byte(token + ",admin,1,system:masters\n")} {
		if err := os.WriteFile(s.path(name), data, 0o600); err != nil {
			return nil, err
		}
	}
	var addresses [3]string
	for i := range addresses {
		if addresses[i], err = freeAddress(); err != nil {
			return nil, err
		}
	}
	s.config = &rest.Config{Host: "https://" + addresses[0], BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAFile: s.path("server.crt")}}
	client, peer := "http://"+addresses[1], "http://"+addresses[2]
	if _, err := s.launch("etcd", programs[1], nil, "--name=bench", "--data-dir="+s.path("etcd"), "--log-level=warn", "--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=bench="+peer); err != nil {
		return nil, err
	}
	if _, err := s.launch("kube-apiserver", programs[0], nil, "--etcd-servers="+client, "--bind-address=127.0.0.1", "--secure-port="+portOf(addresses[0]),
		"--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=AlwaysAllow",
		"--token-auth-file="+s.path("tokens.csv"), "--tls-cert-file="+s.path("server.crt"), "--tls-private-key-file="+s.path("server.key"),
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+s.path("sa.key"), "--service-account-signing-key-file="+s.path("sa.key")); err != nil {
		s.stop()
		return nil, err
	}
	if err := until(ctx, "kube-apiserver", 2*time.Minute, s.ready); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, s.log("kube-apiserver"))
	}
	return s, s.kubeconfig()
}

// kubeconfig writes the administrator's credentials for what is started beside.
func (s *side) kubeconfig() error {
	return os.WriteFile(s.path("admin.kubeconfig"), []byte("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \""+s.config.Host+"\", certificate-authority: "+s.path("server.crt")+
		"}}]\nusers: [{name: u, user: {token: "+token+"}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\n"), 0o600)
}

// startGatehouse starts gatehouse serve as it comes.
func startGatehouse(ctx context.Context, bin, dir string) (*side, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &side{dir: dir}
	if _, err := s.launch("gatehouse", bin, nil, "serve", "--data-dir", s.path("data"), "--listen", address); err != nil {
		return nil, err
	}
	err = until(ctx, "gatehouse serve", 2*time.Minute, func(ctx context.Context) error {
		config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(s.path("data"), "admin.kubeconfig"))
		if err != nil {
			return err
		}
		s.config = config
		return s.ready(ctx)
	})
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, s.log("gatehouse"))
	}
	s.settled = s.scanned
	return s, nil
}

// scanned is an error while gatehouse says that it judges what exists.
func (s *side) scanned(ctx context.Context) error {
	client, err := rest.HTTPClientFor(s.config)
	if err != nil {
		return err
	}
	resp, err := client.Get(s.config.Host + "/metrics")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	found := map[string]string{"objects": "", "objects_settled": ""}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if name = strings.TrimPrefix(name, "gatehouse_scan_"); name == "objects" || name == "objects_settled" {
			found[name] = value
		}
	}
	if found["objects"] != found["objects_settled"] || found["objects"] == "" {
		return fmt.Errorf("%s objects of %s are judged", found["objects_settled"], found["objects"])
	}
	return nil
}

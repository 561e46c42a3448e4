package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"k8s.io/apimachinery/pkg/util/sets"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/secret"
	"github.com/gatehouse-io/gatehouse/serve/pki"
)

const (
	// shutdownWatchGrace is how long open watches are let finish at a stop.
	shutdownWatchGrace = 2 * time.Second
	// shutdownLimit ends a stop that drags on: a client that holds a request
	// open must not hold the process.
	shutdownLimit = 5 * time.Second
	// storeLimit ends the wait for an embedded etcd that does not close: what it
	// has acknowledged is on disk.
	storeLimit = 2 * time.Second
)

// Options are what Run needs.
type Options struct {
	// Config is the effective configuration: defaults filled in and valid.
	// Required.
	Config *v1alpha1.ServeConfiguration

	// Out is where the summary of what is on goes, once the server is ready.
	// Default: nowhere.
	Out io.Writer
}

// Run serves until ctx ends, and returns nil when it has stopped in order. An
// error that a person can mend has a method Hint() string.
func Run(ctx context.Context, opts Options) error {
	err := run(ctx, opts)
	if err != nil && ctx.Err() != nil {
		klog.V(2).Infof("stopped while it started: %v", err)
		return nil
	}
	return err
}

func run(ctx context.Context, opts Options) error {
	if opts.Config == nil {
		return errors.New("serve: Config is missing")
	}
	if opts.Out == nil {
		opts.Out = io.Discard
	}
	begun := time.Now()
	phase := func(what string) { klog.V(2).Infof("%.3f s: %s", time.Since(begun).Seconds(), what) }
	// The start makes much that stays and little garbage: collecting at every
	// doubling of the live heap, several times a second, would be a fifth of its work.
	collect := debug.SetGCPercent(startGCPercent)
	if os.Getenv("GOGC") == "" {
		collect = gcPercent
	}
	// Every file and socket made from here on is this user's alone.
	syscall.Umask(0o077)
	cfg := opts.Config.DeepCopy()

	chosen, err := selectControllers(*cfg.Controllers)
	if err != nil {
		return err
	}
	dir, err := openDataDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer dir.close()
	// The server closes it in its time: closed under a server that still drains,
	// it is a panic upstream. A start that fails ends the process.
	listener, err := listen(ctx, cfg.Listen)
	if err != nil {
		return err
	}

	keys, err := ensurePKI(cfg, dir, listener)
	if err != nil {
		return err
	}
	freshKey, err := fillPaths(cfg, dir)
	if err != nil {
		return err
	}
	measured := newMeters(cfg, dir, keys, listener)
	tracing, err := openTracing(ctx, cfg)
	if err != nil {
		return err
	}
	defer tracing.Close()
	events := &auditTrail{}
	defer events.close()
	phase("keys are there")

	// What the server is built from ends after the server itself, so that its
	// last requests still find a store and an authorizer.
	inner, endInner := context.WithCancel(context.WithoutCancel(ctx))
	defer endInner()

	// The store takes up its work while the server's configuration is made; only
	// building the registries needs it.
	st, err := openStore(ctx, cfg, dir, keys)
	if err != nil {
		return err
	}
	defer st.close()
	stored := make(chan error, 1)
	go func() { stored <- seed(ctx, cfg, st, keys, freshKey) }()
	phase("store is opened")
	built, err := whileStored(stored, func(await func() error) (*chain, error) {
		checks := &authorizationChecks{}
		completed, err := upstreamOptions(inner, cfg, dir, keys, st, listener, checks)
		if err != nil {
			return nil, err
		}
		return buildChain(inner, cfg, keys, st, completed, checks, events, measured, tracing, func() error {
			phase("API server is configured")
			defer phase("store is seeded")
			return await()
		})
	})
	if err != nil {
		return err
	}
	phase("API server is built")

	ctl := &controllerContext{base: built.loopback, keys: keys, asAccounts: built.authz.rbac != nil, guards: built.authz.guards, kinds: built.kinds, policies: built.authz.policies}
	var elect *election
	leave := func() {}
	if st.embedded == nil {
		elect = &election{}
		elect.ctx, elect.end = context.WithCancel(inner)
		leave = elect.leave
	} else {
		ctl.shared = built.informers
	}
	// All who wait for the server ask it together, until it is to stop.
	starting, endStart := context.WithCancel(ctx)
	defer endStart()
	ready := sync.OnceValue(func() bool { return awaitReady(starting, serverURL(listener), keys.Paths.ClusterCA.Cert) })
	built.server.GenericAPIServer.AddPostStartHookOrDie("gatehouse-controllers", func(hook genericapiserver.PostStartHookContext) error {
		go func() {
			// The namespace controller ends the process where it cannot discover
			// the API while it is built, so the API must be there first.
			if !ready() {
				return
			}
			if err := runControllers(hook, chosen, ctl, elect); err != nil {
				klog.Errorf("controllers do not start: %v", err)
			}
			keepMemoryLow(hook, collect, processorTime)
		}()
		return nil
	})
	go events.trail.Run(inner)
	events.detect(inner, ready)
	go keys.Run(inner, func(name string) { klog.Infof("certificate %s is renewed", name) },
		func(err error) {
			measured.renewals.Add(1)
			klog.Errorf("certificates are not renewed: %v", err)
		})

	prepared, err := built.server.PrepareRun()
	if err != nil {
		return fmt.Errorf("prepare API server: %w", err)
	}
	built.prepared()
	phase("API server is prepared")
	go measured.run(inner)
	go announce(ready, opts.Out, cfg, dir, listener, len(chosen), begun)
	return runUntilDone(ctx, leave, ready, prepared.Run)
}

// whileStored builds while the store takes up its work, and gives up as soon as
// the store has failed: upstream's builders wait for an etcd that will not come.
func whileStored(stored <-chan error, build func(await func() error) (*chain, error)) (*chain, error) {
	type result struct {
		chain *chain
		err   error
	}
	seeded, built := make(chan struct{}), make(chan result, 1)
	go func() {
		c, err := build(func() error { <-seeded; return nil })
		built <- result{c, err}
	}()
	for {
		select {
		case err := <-stored:
			if err != nil {
				return nil, err
			}
			stored = nil
			close(seeded)
		case r := <-built:
			return r.chain, r.err
		}
	}
}

// runUntilDone runs the server until ctx ends, leaves what only a server that
// still answers can leave, and stops waiting for the rest shutdownLimit later. A server that is asked to stop before it is ready is
// not stopped in order: upstream ends the process, with a stack trace, when its
// start-up hooks are interrupted, and nothing has been acknowledged yet.
func runUntilDone(ctx context.Context, leave func(), awaitReady func() bool, run func(context.Context) error) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done, ready := make(chan error, 1), make(chan bool, 1)
	go func() { done <- run(serving) }()
	go func() { ready <- awaitReady() }()
	select {
	case err := <-done:
		return err
	case ok := <-ready:
		if !ok {
			klog.Flush()
			os.Exit(0)
		}
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		leave()
		stop()
	}
	select {
	case err := <-done:
		return err
	case <-time.After(shutdownLimit):
		klog.Warningf("requests are still open %v after the stop was asked for; closing them", shutdownLimit)
		return nil
	}
}

// ensurePKI makes the keys and certificates for the names this server has.
func ensurePKI(cfg *v1alpha1.ServeConfiguration, dir *dataDir, listener net.Listener) (*pki.PKI, error) {
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("read listen address: %w", err)
	}
	sans := sets.New(localNames(cfg, listener)...)
	sans.Insert(cfg.TLS.SANs...)
	if host != "" {
		sans.Insert(host)
	}
	if name, err := os.Hostname(); err == nil {
		sans.Insert(name)
	}
	return pki.Ensure(pki.Options{
		Dir:               dir.pki(),
		SANs:              sets.List(sans),
		ExternalEtcd:      len(cfg.Etcd.Servers) > 0,
		ExtraClientCAFile: cfg.Authentication.ClientCAFile,
		AdminKubeconfig:   dir.adminKubeconfig(),
		AdminServer:       serverURL(listener),
	})
}

// localNames are the names and addresses the server is reached by from this
// machine and from within the cluster, by clients that believe the cluster CA.
func localNames(cfg *v1alpha1.ServeConfiguration, listener net.Listener) []string {
	names := []string{"localhost", "127.0.0.1", "::1",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		advertiseAddress(cfg, listener).String()}
	if ip, err := firstServiceIP(cfg.ServiceClusterIPRange); err == nil {
		names = append(names, ip)
	}
	return names
}

// serverURL is where a client on this machine finds the server.
func serverURL(listener net.Listener) string { return "https://" + dialable(listener) }

// dialable is the address that a client on this machine connects to.
func dialable(listener net.Listener) string {
	addr := *listener.Addr().(*net.TCPAddr)
	if addr.IP.IsUnspecified() {
		addr.IP = net.IPv4(127, 0, 0, 1)
	}
	return addr.String()
}

// firstServiceIP is the address of the Service default/kubernetes.
func firstServiceIP(ranges string) (string, error) {
	first, _, _ := strings.Cut(ranges, ",")
	ip, _, err := net.ParseCIDR(first)
	if err != nil {
		return "", err
	}
	ip = append(net.IP(nil), ip...)
	for i := len(ip) - 1; i >= 0; i-- {
		ip[i]++
		if ip[i] != 0 {
			break
		}
	}
	return ip.String(), nil
}

// fillPaths names the files in the data directory that the settings leave open,
// and makes the encryption key where there is none; freshKey says that it did.
func fillPaths(cfg *v1alpha1.ServeConfiguration, dir *dataDir) (freshKey bool, err error) {
	if cfg.Audit.LogFile == "" {
		cfg.Audit.LogFile = dir.auditLog()
	}
	if cfg.Audit.Store.DataDir == "" {
		cfg.Audit.Store.DataDir = dir.auditStore()
	}
	if cfg.Encryption.ConfigFile != "" {
		return false, nil
	}
	cfg.Encryption.ConfigFile = dir.encryptionConfig()
	freshKey, err = secret.EnsureLocalKey(cfg.Encryption.ConfigFile, rand.Reader)
	if err != nil {
		return false, &StartError{Problem: err.Error(), Mend: "chmod 600 " + cfg.Encryption.ConfigFile + ", or name another with encryption.configFile"}
	}
	return freshKey, nil
}

func openStore(ctx context.Context, cfg *v1alpha1.ServeConfiguration, dir *dataDir, keys *pki.PKI) (*store, error) {
	if len(cfg.Etcd.Servers) > 0 {
		st := &store{endpoints: cfg.Etcd.Servers, tls: transport.TLSInfo{
			TrustedCAFile: cfg.Etcd.CAFile, CertFile: cfg.Etcd.CertFile, KeyFile: cfg.Etcd.KeyFile,
		}}
		// Upstream's own clients would wait longer, and say less.
		return st, st.awaitAnswer(ctx)
	}
	p := keys.Paths
	return startEmbeddedEtcd(dir,
		transport.TLSInfo{CertFile: p.EtcdServer.Cert, KeyFile: p.EtcdServer.Key, TrustedCAFile: p.EtcdCA.Cert},
		transport.TLSInfo{CertFile: p.EtcdClient.Cert, KeyFile: p.EtcdClient.Key, TrustedCAFile: p.EtcdCA.Cert},
		cfg.Etcd.QuotaBackend.Value(), etcdGaveUp(dir))
}

// etcdGaveUp ends the process where etcd can no longer write: going on would
// acknowledge what is not stored.
func etcdGaveUp(dir *dataDir) func(string) {
	return func(message string) {
		fmt.Fprintf(os.Stderr, "error: etcd in %s cannot go on: %s\nhint: is the disk full or failing? mend that and start again: nothing acknowledged is lost; a damaged folder is restored from a backup\n", dir.etcd(), message)
		os.Exit(4)
	}
}

// seed waits for the store and writes what must be there before the first request.
func seed(ctx context.Context, cfg *v1alpha1.ServeConfiguration, st *store, keys *pki.PKI, freshKey bool) error {
	if err := st.awaitReady(ctx); err != nil {
		return err
	}
	client, release, err := st.client(ctx)
	if err != nil {
		return err
	}
	defer release()
	s := newSeeder(client, cfg.Etcd.Prefix, clock.RealClock{})
	if freshKey {
		if err := s.refuseLostKey(ctx, cfg.Encryption.ConfigFile); err != nil {
			return err
		}
	}
	if st.embedded == nil {
		if err := s.claim(ctx, keys.Paths.ClusterCA.Cert); err != nil {
			return err
		}
	}
	if err := s.ensureCRDs(ctx, v1alpha1.CRDs()); err != nil {
		return err
	}
	if err := s.ensureReportCRDs(ctx); err != nil {
		return err
	}
	if err := s.ensureBasics(ctx); err != nil {
		return err
	}
	return s.ensureRBAC(ctx, cfg.Authorization.SystemMastersBypass)
}

package serve

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
)

// store is the etcd the server keeps its objects in: embedded, or a cluster
// elsewhere.
type store struct {
	endpoints []string
	tls       transport.TLSInfo // zero where the cluster is reached without TLS
	embedded  *embed.Etcd       // nil with an external cluster
	inProcess *inProcess        // clients of the embedded one
}

// etcdStartTimeout bounds how long an embedded etcd may take to replay its
// write-ahead log, and how long an external cluster is waited for.
const (
	etcdStartTimeout  = 2 * time.Minute
	etcdAnswerTimeout = 15 * time.Second
)

// startEmbeddedEtcd starts etcd on a unix socket in the data directory, with
// TLS on both sides, fsync on, and no other listener. It returns when the socket
// is there; awaitReady waits until it is answered. onFatal is told when etcd gives
// up (a disk that is full or fails) and must not return.
func startEmbeddedEtcd(d *dataDir, tls, clientTLS transport.TLSInfo, quotaBytes int64, onFatal func(string)) (*store, error) {
	cfg := embed.NewConfig()
	cfg.Name = "gatehouse"
	cfg.Dir = d.etcd()
	socket := url.URL{Scheme: "unixs", Path: d.etcdSocket()}
	cfg.ListenClientUrls = []url.URL{socket}
	cfg.AdvertiseClientUrls = []url.URL{socket}
	// With its HTTP endpoints elsewhere, etcd hands connections to gRPC itself;
	// on one socket both go through net/http, which starves watches under load
	// (etcd-io/etcd#15402).
	cfg.ListenClientHttpUrls = []url.URL{{Scheme: "unixs", Path: d.etcdHTTPSocket()}}
	cfg.ListenPeerUrls = nil // one member: nobody to talk to
	// A member alone elects itself after one to two election timeouts, and has
	// nobody to send heartbeats to: short ones only make the start shorter.
	cfg.TickMs, cfg.ElectionMs = 10, 100
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.ClientTLSInfo = tls
	cfg.ClientTLSInfo.ClientCertAuth = true
	cfg.TlsMinVersion = "TLS1.3"
	cfg.QuotaBackendBytes = quotaBytes
	cfg.MaxConcurrentStreams = 1 << 20
	// The API server compacts every five minutes by itself, so etcd does not.
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(etcdLogger(onFatal))

	// A socket left by a process that was killed would make the bind fail; the
	// lock on the data directory says nobody is behind it.
	for _, socket := range []string{d.etcdSocket(), d.etcdHTTPSocket()} {
		if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("remove old etcd socket: %w", err)
		}
	}
	begun, err := checkStore(cfg.Dir)
	if err == nil && !begun {
		err = os.RemoveAll(filepath.Join(cfg.Dir, "member"))
	}
	var e *embed.Etcd
	if err == nil {
		e, err = embed.StartEtcd(cfg)
	}
	if err != nil {
		return nil, &StartError{
			Problem: fmt.Sprintf("etcd in %s does not start: %v", d.etcd(), err),
			Mend:    "restore the folder from a backup, or move it away to begin with an empty cluster",
		}
	}
	return &store{endpoints: []string{socket.String()}, tls: clientTLS, embedded: e, inProcess: newInProcess(e.Server)}, nil
}

// awaitReady waits until an embedded store answers.
func (s *store) awaitReady(ctx context.Context) error {
	if s.embedded == nil {
		return nil // awaitAnswer has had one
	}
	select {
	case <-s.embedded.Server.ReadyNotify():
		return nil
	case err := <-s.embedded.Err():
		return fmt.Errorf("start etcd: %w", err)
	case <-time.After(etcdStartTimeout):
		return &StartError{
			Problem: fmt.Sprintf("etcd in %s is not ready after %v", s.embedded.Config().Dir, etcdStartTimeout),
			Mend:    "is the disk slow or failing? etcd's own messages are shown with --log-level info",
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// client opens a client, of the embedded etcd by calls; the second answer closes it.
func (s *store) client(ctx context.Context) (*clientv3.Client, func(), error) {
	if s.embedded != nil {
		c := s.inProcess.client()
		return c.Client, func() { s.inProcess.release(c) }, nil
	}
	c, err := s.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	return c, func() { _ = c.Close() }, nil // a failure to close a connection changes nothing
}

// connect opens a connection. The caller closes it.
func (s *store) connect(ctx context.Context) (*clientv3.Client, error) {
	cfg := clientv3.Config{Context: ctx, Endpoints: s.endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop()}
	if s.tls.CertFile != "" || s.tls.TrustedCAFile != "" {
		tlsConfig, err := s.tls.ClientConfig()
		if err != nil {
			return nil, &StartError{
				Problem: fmt.Sprintf("etcd client certificate cannot be used: %v", err),
				Mend:    "check etcd.caFile, etcd.certFile and etcd.keyFile",
			}
		}
		cfg.TLS = tlsConfig
	}
	return clientv3.New(cfg)
}

// awaitAnswer asks an external cluster for anything at all, so that a wrong
// address is one clear message and not a server that hangs.
func (s *store) awaitAnswer(ctx context.Context) error {
	client, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, etcdAnswerTimeout)
	defer cancel()
	for {
		attempt, stop := context.WithTimeout(ctx, 3*time.Second)
		_, err = client.Get(attempt, "gatehouse/ping", clientv3.WithCountOnly())
		stop()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return &StartError{
				Problem: fmt.Sprintf("etcd at %s does not answer: %v", strings.Join(s.endpoints, ", "), err),
				Mend:    "check that the cluster runs and has a leader, the --etcd-servers addresses, and the TLS files",
			}
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (s *store) close() {
	if s.embedded == nil {
		return
	}
	closed := make(chan struct{})
	go func() {
		s.inProcess.shut(storeLimit / 2)
		s.embedded.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(storeLimit):
		klog.Warningf("etcd is not closed after %v; leaving it", storeLimit)
	}
}

// etcdLogger sends etcd's words to klog: warnings and worse as they are,
// information at level 2 and what is for debugging at level 6. A line it would
// panic or exit with goes to onFatal.
func etcdLogger(onFatal func(string)) *zap.Logger {
	core := &klogCore{}
	return zap.New(core, zap.WithFatalHook(fatalHook(onFatal)), zap.WithPanicHook(fatalHook(onFatal)))
}

type fatalHook func(string)

// OnWrite implements zapcore.CheckWriteHook.
func (f fatalHook) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	enc := zapcore.NewMapObjectEncoder()
	for _, field := range fields {
		field.AddTo(enc)
	}
	message := entry.Message
	if err, ok := enc.Fields["error"]; ok {
		message = fmt.Sprintf("%s: %v", message, err)
	}
	f(message)
}

// klogCore is a zapcore.Core over klog.
type klogCore struct{ fields []zapcore.Field }

func (c *klogCore) Enabled(l zapcore.Level) bool {
	return l >= zapcore.WarnLevel || l == zapcore.InfoLevel && klog.V(2).Enabled() || klog.V(6).Enabled()
}

func (c *klogCore) With(fields []zapcore.Field) zapcore.Core {
	return &klogCore{fields: append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

func (c *klogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *klogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(c.fields, fields...) {
		f.AddTo(enc)
	}
	kv := make([]any, 0, 2*len(enc.Fields))
	for k, v := range enc.Fields {
		kv = append(kv, k, v)
	}
	switch {
	case e.Level >= zapcore.ErrorLevel:
		klog.ErrorS(nil, "etcd: "+e.Message, kv...)
	case e.Level == zapcore.WarnLevel:
		klog.Warning("etcd: ", e.Message, " ", enc.Fields)
	default:
		klog.V(2).InfoS("etcd: "+e.Message, kv...)
	}
	return nil
}

func (c *klogCore) Sync() error { return nil }

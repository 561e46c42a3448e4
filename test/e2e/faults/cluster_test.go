package faults

import (
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

var loopback = []net.IP{net.IPv4(127, 0, 0, 1)}

// cluster is an external etcd of one member, in this process, that believes
// client certificates of its own CA alone. Servers reach it through a line.
type cluster struct {
	line *line
	dir  string // of ca.crt, etcd.crt and etcd.key
	tls  transport.TLSInfo
	url  string // without the line in between
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{dir: folder(t)}
	cert, key := authority(t, "etcd", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	c.tls = transport.TLSInfo{
		CertFile: filepath.Join(c.dir, "etcd.crt"), KeyFile: filepath.Join(c.dir, "etcd.key"),
		TrustedCAFile: filepath.Join(c.dir, "etcd.crt"), ClientCertAuth: true,
	}
	write(t, c.tls.CertFile, cert)
	write(t, c.tls.KeyFile, key)
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(c.dir, "data")
	cfg.LogLevel = "fatal"
	client := url.URL{Scheme: "https", Host: server.FreeAddress(t)}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls, cfg.ListenPeerUrls = []url.URL{client}, []url.URL{client}, nil
	cfg.ClientTLSInfo = c.tls
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	c.url = client.String()
	c.line = newLine(t, client.Host)
	return c
}

// flags are what a server needs to use the cluster.
func (c *cluster) flags() []string {
	return []string{"--etcd-servers", "https://" + c.line.listener.Addr().String(),
		"--etcd-cafile", c.tls.TrustedCAFile, "--etcd-certfile", c.tls.CertFile, "--etcd-keyfile", c.tls.KeyFile}
}

// client reads and writes etcd itself.
func (c *cluster) client(t *testing.T) *clientv3.Client {
	t.Helper()
	config, err := c.tls.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{c.url}, TLS: config, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// line carries connections to an address. Frozen, it keeps them open and carries
// nothing, as a machine that hangs does; no error tells either side. Cut, it has
// none and takes none, as a machine that is down.
type line struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	moving *sync.Cond
	frozen bool
	isCut  bool
	closed bool
	conns  map[net.Conn]bool
}

func newLine(t *testing.T, target string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, target: target, conns: map[net.Conn]bool{}}
	l.moving = sync.NewCond(&l.mu)
	t.Cleanup(func() {
		listener.Close()
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.moving.Broadcast()
	})
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go l.connect(near)
		}
	}()
	return l
}

func (l *line) connect(near net.Conn) {
	far, err := net.Dial("tcp", l.target)
	if err != nil {
		near.Close()
		return
	}
	l.mu.Lock()
	l.conns[near], l.conns[far] = true, true
	isCut := l.isCut
	l.mu.Unlock()
	if isCut {
		near.Close()
		far.Close()
		return
	}
	go l.carry(far, near)
	l.carry(near, far)
}

func (l *line) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !l.passes() {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// passes waits while the line is frozen, and reports whether it still is in use.
func (l *line) passes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.frozen && !l.closed {
		l.moving.Wait()
	}
	return !l.closed
}

func (l *line) cut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = cut
	if cut {
		for conn := range l.conns {
			conn.Close()
		}
		clear(l.conns)
	}
}

func (l *line) freeze(frozen bool) {
	l.mu.Lock()
	l.frozen = frozen
	l.mu.Unlock()
	l.moving.Broadcast()
}

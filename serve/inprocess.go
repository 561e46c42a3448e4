package serve

import (
	"context"
	"io"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// inProcess makes clients of an embedded etcd that call it instead of connecting to
// it: no TLS and no HTTP/2, and none of the buffers and goroutines that some seventy
// connections hold. Calls are let in until shut.
type inProcess struct {
	server *etcdserver.EtcdServer
	calls  sync.RWMutex // held for reading by each call, for writing to shut
	isShut bool

	mu      sync.Mutex
	clients map[*clientv3.Client]struct{} // those not closed yet
}

func newInProcess(server *etcdserver.EtcdServer) *inProcess {
	return &inProcess{server: server, clients: map[*clientv3.Client]struct{}{}}
}

// client makes a client of its own watch stream. Whoever has it gives it back with
// release.
func (p *inProcess) client() *kubernetes.Client {
	c := v3client.New(p.server)
	kv := v3rpc.NewQuotaKVServer(p.server)
	c.KV = clientv3.NewKVFromKVClient(&guardedKV{KVClient: adapter.KvServerToKvClient(kv), server: kv, in: p}, c)
	// v3client hides the context's kind, which costs three goroutines a watch; what
	// it hides is not printed any more.
	c.Watcher = clientv3.NewWatchFromWatchClient(adapter.WatchServerToWatchClient(v3rpc.NewWatchServer(p.server)), c)
	p.mu.Lock()
	p.clients[c] = struct{}{}
	p.mu.Unlock()
	k := &kubernetes.Client{Client: c}
	k.Kubernetes = k
	return k
}

// release closes a client: its watches end.
func (p *inProcess) release(c *kubernetes.Client) {
	p.mu.Lock()
	delete(p.clients, c.Client)
	p.mu.Unlock()
	_ = c.Client.Close() // says that its own context has ended
}

// shut refuses calls from now on, ends all watches, and waits until the calls that
// were let in have returned, or limit has passed: etcd ends the process when its
// files are read after it has closed them. Over a socket it would do that waiting.
func (p *inProcess) shut(limit time.Duration) {
	p.mu.Lock()
	for c := range p.clients {
		_ = c.Close()
	}
	clear(p.clients)
	p.mu.Unlock()
	empty := make(chan struct{})
	go func() {
		p.calls.Lock()
		p.isShut = true
		p.calls.Unlock()
		close(empty)
	}()
	select {
	case <-empty:
	case <-time.After(limit):
	}
}

// guardedKV lets calls in until shut.
type guardedKV struct {
	pb.KVClient
	server pb.KVServer
	in     *inProcess
}

// guarded makes a call, of a method of service KV. In a request that is traced it has
// the span that it would have over a connection.
func guarded[Q, A any](ctx context.Context, in *inProcess, method string, request Q, opts []grpc.CallOption, call func(context.Context, Q, ...grpc.CallOption) (A, error)) (answer A, err error) {
	in.calls.RLock()
	defer in.calls.RUnlock()
	if in.isShut {
		return answer, rpctypes.ErrGRPCStopped
	}
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return call(ctx, request, opts...)
	}
	ctx, span := parent.TracerProvider().Tracer("go.etcd.io/etcd").Start(ctx, "etcdserverpb.KV/"+method, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	answer, err = call(ctx, request, opts...)
	if err != nil {
		span.SetStatus(codes.Error, status.Code(err).String())
	}
	return answer, err
}

func (g *guardedKV) Range(ctx context.Context, r *pb.RangeRequest, opts ...grpc.CallOption) (*pb.RangeResponse, error) {
	return guarded(ctx, g.in, "Range", r, opts, g.KVClient.Range)
}

func (g *guardedKV) Put(ctx context.Context, r *pb.PutRequest, opts ...grpc.CallOption) (*pb.PutResponse, error) {
	return guarded(ctx, g.in, "Put", r, opts, g.KVClient.Put)
}

func (g *guardedKV) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest, opts ...grpc.CallOption) (*pb.DeleteRangeResponse, error) {
	return guarded(ctx, g.in, "DeleteRange", r, opts, g.KVClient.DeleteRange)
}

func (g *guardedKV) Txn(ctx context.Context, r *pb.TxnRequest, opts ...grpc.CallOption) (*pb.TxnResponse, error) {
	return guarded(ctx, g.in, "Txn", r, opts, g.KVClient.Txn)
}

func (g *guardedKV) Compact(ctx context.Context, r *pb.CompactionRequest, opts ...grpc.CallOption) (*pb.CompactionResponse, error) {
	return guarded(ctx, g.in, "Compact", r, opts, g.KVClient.Compact)
}

// RangeStream reads in chunks, which etcd's own adapter cannot.
func (g *guardedKV) RangeStream(ctx context.Context, r *pb.RangeRequest, _ ...grpc.CallOption) (pb.KV_RangeStreamClient, error) {
	s := &chunks{ctx: ctx, sent: make(chan *pb.RangeStreamResponse), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_, s.err = guarded(ctx, g.in, "RangeStream", r, nil, func(_ context.Context, r *pb.RangeRequest, _ ...grpc.CallOption) (struct{}, error) {
			return struct{}{}, g.server.RangeStream(r, chunkSender{chunks: s})
		})
	}()
	return s, nil
}

// chunks is both ends of a stream of chunks. The methods of gRPC's streams that
// neither end calls are nil.
type chunks struct {
	grpc.ClientStream
	ctx  context.Context
	sent chan *pb.RangeStreamResponse
	done chan struct{}
	err  error // once done: why it has ended, nil at the end of the range
}

// Recv waits for the next chunk; io.EOF after the last.
func (s *chunks) Recv() (*pb.RangeStreamResponse, error) {
	select {
	case r := <-s.sent:
		return r, nil
	case <-s.done:
		if s.err != nil {
			return nil, s.err
		}
		return nil, io.EOF
	}
}

type chunkSender struct {
	grpc.ServerStream
	*chunks
}

// Context is the caller's.
func (s chunkSender) Context() context.Context { return s.ctx }

// Send hands a chunk over, and gives up with its reader.
func (s chunkSender) Send(r *pb.RangeStreamResponse) error {
	select {
	case s.sent <- r:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

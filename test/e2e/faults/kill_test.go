package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// kills is how often a server is killed under load. $GATEHOUSE_KILLS asks for
// another number.
const kills = 20

// times is how often a test that repeats itself does.
func times(t *testing.T, usual int) int {
	if n, err := strconv.Atoi(os.Getenv("GATEHOUSE_KILLS")); err == nil {
		return n
	}
	if testing.Short() {
		return min(usual, 3)
	}
	return usual
}

// Whatever was acknowledged before a kill -9 is there after it as it was, with
// its audit event; nothing else is.
func TestKillUnderLoad(t *testing.T) {
	s := server.Start(t, server.Options{Config: "audit: {maxSizeMegabytes: 10000}"})
	book := newLedger()
	rounds := times(t, kills)
	for round := range rounds {
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		var writers sync.WaitGroup
		for w := range 8 {
			client := s.Admin(t)
			writers.Go(func() { _ = book.work(ctx, client, fmt.Sprintf("r%d-w%d", round, w)) })
		}
		// The moment differs from round to round: in a batch, a sync, a commit.
		time.Sleep(500*time.Millisecond + time.Duration(rand.IntN(700))*time.Millisecond)
		s.Kill()
		stop()
		writers.Wait()
		s = s.Restart(t)
		book.settle(t, s)
		if t.Failed() {
			t.Fatalf("after kill %d", round+1)
		}
	}
	book.audited(t, s)
	t.Logf("%d kills: %d writes were acknowledged, and each is as it was", rounds, book.answers)
}

// A server that is killed in the middle of its first start leaves a directory
// that the next one takes up.
func TestKillInFirstStart(t *testing.T) {
	for i := range times(t, 8) {
		opts := server.Options{Dir: filepath.Join(folder(t), "d"), Listen: server.FreeAddress(t)}
		for range 1 + i%3 {
			s := server.Launch(t, opts)
			time.Sleep(50*time.Millisecond + time.Duration(rand.IntN(700))*time.Millisecond)
			s.Kill()
		}
		s := server.Start(t, opts)
		if _, err := s.Admin(t).RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Errorf("the administrator cannot list roles: %v", err)
		}
		s.Kill()
		if t.Failed() {
			t.Fatalf("after %d kills of a first start", 1+i%3)
		}
	}
}

// The moment of a first start in which etcd has made its log, and written nothing into it
// yet: with such a log etcd alone waits for a leader without end.
func TestKillBeforeTheFirstEntry(t *testing.T) {
	opts := server.Options{Dir: filepath.Join(folder(t), "d"), Listen: server.FreeAddress(t)}
	dir := filepath.Join(opts.Dir, "etcd", "member")
	for _, folder := range []string{opts.Dir, filepath.Join(opts.Dir, "etcd"), dir, filepath.Join(dir, "snap")} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	member, err := proto.Marshal(&etcdserverpb.Metadata{NodeID: new(uint64(1)), ClusterID: new(uint64(2))})
	if err != nil {
		t.Fatal(err)
	}
	log, err := wal.Create(zap.NewNop(), filepath.Join(dir, "wal"), member)
	if err == nil {
		err = log.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s := server.Start(t, opts)
	if _, err := s.Admin(t).CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// And what has begun is never begun again.
	s.Kill()
	s = s.Restart(t)
	if _, err := s.Admin(t).CoreV1().ConfigMaps("default").Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

// The roles of a first start are written in several transactions. Whichever was
// the last before a crash, the next start gives the administrator what a first
// start gives.
func TestKillBetweenSeeds(t *testing.T) {
	c := startCluster(t)
	etcd := c.client(t)
	opts := server.Options{Dir: filepath.Join(folder(t), "d"), Listen: server.FreeAddress(t), Args: c.flags()}
	server.Start(t, opts).Kill()

	// Back to the moment after the first of them.
	var keys []string
	first := int64(0)
	created := map[string]int64{}
	for _, kind := range []string{"clusterroles", "clusterrolebindings", "roles", "rolebindings"} {
		answer, err := etcd.Get(t.Context(), "/registry/"+kind+"/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range answer.Kvs {
			keys, created[string(kv.Key)] = append(keys, string(kv.Key)), kv.CreateRevision
			if first == 0 || kv.CreateRevision < first {
				first = kv.CreateRevision
			}
		}
	}
	kept := 0
	for _, key := range keys {
		if created[key] == first {
			kept++
			continue
		}
		if _, err := etcd.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d roles and bindings are written by the first transaction", kept, len(keys))

	s := server.Start(t, opts)
	if _, err := s.Admin(t).RbacV1().ClusterRoleBindings().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("after a crash in the first start the administrator has no power, and nobody who could give it: %v", err)
	}
}

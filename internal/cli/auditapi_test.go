package cli

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/bucket"
	"github.com/gatehouse-io/gatehouse/audit/bucket/drivers"
	"github.com/gatehouse-io/gatehouse/audit/chain"
	"github.com/gatehouse-io/gatehouse/audit/queryapi"
	"github.com/gatehouse-io/gatehouse/audit/store"
)

// readEvents reads the audit log of a script.
func readEvents(ts *testscript.TestScript, file string) (events []*audit.Event) {
	var unread unreadEventsError
	for e, err := range auditFiles(context.Background(), []string{ts.MkAbs(file)}, nil, &unread) {
		ts.Check(err)
		events = append(events, e)
	}
	if unread.count > 0 {
		ts.Fatalf("%v", &unread)
	}
	return events
}

// startAuditAPI is the script command auditapi FILE [GROUP] [only=NAMESPACE]: a Gatehouse
// that has the events of the file, for somebody who may ask everything, or of one
// namespace; it writes the file kubeconfig.
func startAuditAPI(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: auditapi FILE [GROUP] [only=NAMESPACE]")
	}
	memory := &audit.Memory{}
	memory.Add(readEvents(ts, args[0])...)
	memory.AddGap(audit.Gap{Start: time.Date(2026, 3, 4, 5, 30, 0, 0, time.UTC), End: time.Date(2026, 3, 4, 5, 40, 0, 0, time.UTC), Count: 7, Reason: audit.GapDropped})
	group, only := queryapi.ServeGroup, ""
	for _, arg := range args[1:] {
		if namespace, ok := strings.CutPrefix(arg, "only="); ok {
			only = namespace
		} else {
			group = arg
		}
	}
	h, err := queryapi.New(queryapi.Options{Reader: memory, Group: group})
	ts.Check(err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if only != "" && strings.Contains(r.URL.Path, "/auditevents") && !strings.Contains(r.URL.Path, "/namespaces/"+only+"/") {
			s := metav1.Status{Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: "auditevents is forbidden"}
			s.Kind, s.APIVersion = "Status", "v1"
			reply(w, http.StatusForbidden, s)
			return
		}
		h.ServeHTTP(w, r)
	}))
	ts.Defer(server.Close)
	config := clientcmdapi.NewConfig()
	config.Clusters["fake"] = &clientcmdapi.Cluster{Server: server.URL}
	config.AuthInfos["fake"] = &clientcmdapi.AuthInfo{}
	config.Contexts["fake"] = &clientcmdapi.Context{Cluster: "fake", AuthInfo: "fake"}
	config.CurrentContext = "fake"
	ts.Check(clientcmd.WriteToFile(*config, ts.MkAbs("kubeconfig")))
	ts.Setenv("KUBECONFIG", ts.MkAbs("kubeconfig"))
}

// makeAuditStore is the script command auditstore DIR FILE...: a store that has the events
// of the files, those of each in a segment of their own.
func makeAuditStore(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: auditstore DIR FILE...")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	s, err := store.Open(dir, store.Options{CompactEvents: -1})
	ts.Check(err)
	for _, file := range args[1:] {
		ts.Check(s.Append(context.Background(), readEvents(ts, file)))
		ts.Check(s.Seal(context.Background()))
	}
	ts.Check(s.Close())
}

// damageSegment is the script command damage DIR N: it changes a byte of the Nth segment.
func damageSegment(ts *testscript.TestScript, neg bool, args []string) {
	file := segmentOf(ts, neg, args)
	data, err := os.ReadFile(file)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(file, data, 0o600))
}

// removeSegment is the script command removed DIR N: it removes the Nth segment.
func removeSegment(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.Remove(segmentOf(ts, neg, args)))
}

func segmentOf(ts *testscript.TestScript, neg bool, args []string) string {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: COMMAND DIR N")
	}
	all, err := filepath.Glob(ts.MkAbs(args[0]) + "/segments/*.parquet")
	ts.Check(err)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	if n < 1 || n > len(all) {
		ts.Fatalf("there are %d segments", len(all))
	}
	return all[n-1]
}

// publishStore is the script command auditbucket BUCKET STORE: it publishes the segments
// of a store to a bucket, which is a folder.
func publishStore(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: auditbucket BUCKET STORE")
	}
	ctx := context.Background()
	b, err := drivers.Open(ctx, "file://"+ts.MkAbs(args[0]))
	ts.Check(err)
	defer b.Close()
	key, err := chain.ReadKey(ts.MkAbs(args[1]) + "/chain.key")
	ts.Check(err)
	s, err := store.Open(ts.MkAbs(args[1]), store.Options{CompactEvents: -1})
	ts.Check(err)
	defer s.Close()
	p, err := bucket.NewPublisher(b, s, bucket.PublisherOptions{Cluster: "prod", Replica: "gh-0", Key: key})
	ts.Check(err)
	ts.Check(p.Once(ctx))
}

package record_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit/record"
	"github.com/gatehouse-io/gatehouse/audit/redact"
)

// typical is an event of about a kilobyte, as most are.
const typical = `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"0c5b7b1e-8a0a-4d3e-9c52-b7d0a1f0c9ab","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/payments/pods/checkout-7d4b9c6f5-x2x7k/status?fieldManager=kubelet","verb":"patch",` +
	`"user":{"username":"system:serviceaccount:payments:deployer","uid":"6a2f6d7e-1f0e-4c3f-8f8e-0a4b7f3d2c11","groups":["system:serviceaccounts","system:serviceaccounts:payments","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["JTI=4f8f6c0e-7a1f-45c0-8d31-2a7d4f0e1b2c"],"authentication.kubernetes.io/node-name":["node-17"]}},` +
	`"sourceIPs":["10.12.4.17"],"userAgent":"kubelet/v1.37.2 (linux/amd64) kubernetes/5e0a1d2","objectRef":{"resource":"pods","namespace":"payments","name":"checkout-7d4b9c6f5-x2x7k","apiVersion":"v1","subresource":"status"},"responseStatus":{"metadata":{},"code":200},` +
	`"requestReceivedTimestamp":"2026-10-01T12:00:00.123456Z","stageTimestamp":"2026-10-01T12:00:00.131313Z","annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"RBAC: allowed by RoleBinding \"deployer/payments\" of Role \"deployer\" to ServiceAccount \"deployer/payments\""}}`

// BenchmarkDecodeAndRedact is what an event costs between a file and a store.
func BenchmarkDecodeAndRedact(b *testing.B) {
	line := []byte(typical)
	r := redact.New(redact.Options{Key: []byte("k")})
	var d record.Decoder
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		e, err := d.Event(line)
		if err != nil {
			b.Fatal(err)
		}
		r.Event(e)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkDecodeAndRedactBody is the same with the body of a change.
func BenchmarkDecodeAndRedactBody(b *testing.B) {
	body := `,"requestObject":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c"},"data":{"a":"` + strings.Repeat("x", 400) + `","password":"p"}}}`
	line := []byte(strings.TrimSuffix(typical, "}") + body)
	r := redact.New(redact.Options{Key: []byte("k")})
	var d record.Decoder
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		e, err := d.Event(line)
		if err != nil {
			b.Fatal(err)
		}
		r.Event(e)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkAppendJSON(b *testing.B) {
	var d record.Decoder
	e, err := d.Event([]byte(typical))
	if err != nil {
		b.Fatal(err)
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = record.AppendJSON(out[:0], e)
	}
}

func TestAllocations(t *testing.T) {
	line := []byte(typical)
	r := redact.New(redact.Options{Key: []byte("k")})
	var d record.Decoder
	const most = 7 // the event, its ID, URI and names of its fields
	if got := testing.AllocsPerRun(200, func() {
		e, err := d.Event(line)
		if err != nil {
			t.Fatal(err)
		}
		r.Event(e)
	}); got > most {
		t.Errorf("%v allocations an event, want at most %d", got, most)
	}
	e, _ := d.Event(line)
	out := make([]byte, 0, 4096)
	if got := testing.AllocsPerRun(200, func() { out = record.AppendJSON(out[:0], e) }); got > 6 {
		t.Errorf("printing allocates %v times", got)
	}
}

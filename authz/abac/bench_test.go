package abac

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	upstream "k8s.io/kubernetes/pkg/auth/authorizer/abac"
)

var sizes = []int{10, 1_000, 100_000}

// manyPolicies is a file where each user has one line, and each group ten.
func manyPolicies(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		who := fmt.Sprintf(`"user":"user-%d"`, i/2)
		if i%2 == 1 {
			who = fmt.Sprintf(`"group":"group-%d"`, i/20)
		}
		fmt.Fprintf(&b, `{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{%s,"namespace":"ns-%d","resource":"pods"}}`+"\n", who, i)
	}
	return b.Bytes()
}

// lastAsked is a request that the last line alone allows in its own namespace.
func lastAsked(n int, namespace string) authorizer.AttributesRecord {
	last := n - 1
	return authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: fmt.Sprintf("user-%d", last/2), Groups: []string{"system:authenticated", fmt.Sprintf("group-%d", last/20)}},
		Verb: "create", Namespace: namespace, Resource: "pods", ResourceRequest: true,
	}
}

// oneGroup is a file where one group has a line for each namespace.
func oneGroup(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"group":"system:authenticated","namespace":"ns-%d","resource":"pods"}}`+"\n", i)
	}
	return b.Bytes()
}

func TestDecisionsAllocateNothing(t *testing.T) {
	file := NewFile("f")
	if err := file.Load(slices.Concat(manyPolicies(1000), oneGroup(1000), []byte(shopFile))); err != nil {
		t.Fatal(err)
	}
	type other struct{}
	ctx := context.WithValue(context.Background(), other{}, "something")
	for _, a := range []authorizer.Attributes{
		lastAsked(1000, "ns-999"), lastAsked(1000, "elsewhere"),
		attributes("ann ops delete shop pods -"), attributes("eve system:authenticated get /healthz/etcd"),
		attributes("eve system:authenticated get /metrics"), authorizer.AttributesRecord{},
	} {
		if n := testing.AllocsPerRun(100, func() { file.Authorize(ctx, a) }); n != 0 {
			t.Errorf("%+v: %v allocations", a, n)
		}
	}
}

func BenchmarkAuthorize(b *testing.B) {
	for _, file := range []struct {
		name string
		data func(int) []byte
	}{{"many", manyPolicies}, {"one", oneGroup}} {
		for _, size := range sizes {
			benchmarkFile(b, "subjects="+file.name, file.data(size), size)
		}
	}
}

func benchmarkFile(b *testing.B, name string, data []byte, size int) {
	path := filepath.Join(b.TempDir(), "policies.jsonl")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.Fatal(err)
	}
	theirs, err := upstream.NewFromFile(path)
	if err != nil {
		b.Fatal(err)
	}
	for _, who := range []struct {
		name string
		authorizer.UnconditionalAuthorizer
	}{{"gatehouse", mustParse(b, string(data))}, {"upstream", theirs}} {
		for _, what := range []struct {
			name string
			want authorizer.Decision
			a    authorizer.Attributes
		}{
			{"allowed", authorizer.DecisionAllow, lastAsked(size, fmt.Sprintf("ns-%d", size-1))},
			{"denied", authorizer.DecisionNoOpinion, lastAsked(size, "elsewhere")},
		} {
			b.Run(fmt.Sprintf("%s/policies=%d/%s/%s", name, size, what.name, who.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if got, _, _ := who.Authorize(b.Context(), what.a); got != what.want {
						b.Fatal(got)
					}
				}
			})
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, size := range sizes {
		data := manyPolicies(size)
		path := filepath.Join(b.TempDir(), "policies.jsonl")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("policies=%d/gatehouse", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustParse(b, string(data))
			}
		})
		b.Run(fmt.Sprintf("policies=%d/upstream", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := upstream.NewFromFile(path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

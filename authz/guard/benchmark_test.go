package guard

import (
	"context"
	"fmt"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// shapes are sets of Guards that are hard for one index or another: all but the
// first differ in one thing alone, or need two to be told apart.
var shapes = []struct {
	name string
	spec func(i int) string
	// none of the Guards touches the request.
	request string
}{
	{"teams", func(i int) string {
		return fmt.Sprintf(`{subjects: {groups: [team-%d]}, resources: [secrets, pods/exec], namespaces: [team-%d, "t%d-*"]}`, i%100, i, i)
	}, "anna,devs,system:authenticated get secrets shop/db"},
	{"everybody by namespace", func(i int) string {
		return fmt.Sprintf(`{subjects: {all: true}, resources: ["*"], namespaces: [ns-%d]}`, i)
	}, "anna,devs,system:authenticated get secrets shop/db"},
	{"everybody by name", func(i int) string {
		return fmt.Sprintf(`{subjects: {all: true}, resources: [secrets], names: [db-%d]}`, i)
	}, "anna,devs,system:authenticated get secrets shop/db"},
	{"one group by name", func(i int) string {
		return fmt.Sprintf(`{subjects: {groups: [ops]}, resources: [secrets], names: [db-%d]}`, i)
	}, "anna,devs,system:authenticated list secrets shop/-"},
	{"two by two", func(i int) string {
		if i%2 == 0 {
			return fmt.Sprintf(`{subjects: {groups: [devs]}, resources: [configmaps], names: ["a%d*"]}`, i)
		}
		return fmt.Sprintf(`{subjects: {groups: [ops]}, resources: [secrets], names: ["a%d*"]}`, i)
	}, "anna,devs,system:authenticated list secrets shop/-"},
	{"by path", func(i int) string {
		return fmt.Sprintf(`{subjects: {all: true}, nonResourceURLs: ["/debug/%d", "/x%d/*"]}`, i, i)
	}, "anna,devs,system:authenticated get /debug/pprof"},
}

func shaped(t testing.TB, n int, spec func(i int) string) *Authorizer {
	guards := make([]v1alpha1.Guard, n)
	for i := range guards {
		guards[i] = parse(t, fmt.Sprintf("guard-%d", i), spec(i))
	}
	return newTest(t, Options{}, guards...)
}

func BenchmarkUntouched(b *testing.B) {
	for _, shape := range shapes {
		for _, n := range []int{1, 1000, 10_000} {
			b.Run(fmt.Sprintf("%s/guards=%d", shape.name, n), func(b *testing.B) {
				a := shaped(b, n, shape.spec)
				var attributes authorizer.Attributes = ask(b, shape.request)
				ctx := context.Background()
				b.ReportAllocs()
				for b.Loop() {
					if d, _, _ := a.Authorize(ctx, attributes); d != authorizer.DecisionNoOpinion {
						b.Fatal(d)
					}
				}
			})
		}
	}
}

func BenchmarkDenied(b *testing.B) {
	for _, condition := range []string{"", `, condition: "request.user != 'root' && request.resourceAttributes.namespace == 'shop'"`} {
		b.Run(fmt.Sprintf("condition=%v", condition != ""), func(b *testing.B) {
			a := shaped(b, 1000, shapes[0].spec)
			g := parse(b, "g", `{subjects: {groups: [devs]}, resources: [secrets]`+condition+`}`)
			if err := a.Upsert(&g); err != nil {
				b.Fatal(err)
			}
			var attributes authorizer.Attributes = ask(b, shapes[0].request)
			b.ReportAllocs()
			for b.Loop() {
				if d, _, _ := a.Authorize(context.Background(), attributes); d != authorizer.DecisionDeny {
					b.Fatal(d)
				}
			}
		})
	}
}

func BenchmarkUpsert(b *testing.B) {
	for _, n := range []int{1, 1000, 10_000} {
		b.Run(fmt.Sprintf("guards=%d", n), func(b *testing.B) {
			a := shaped(b, n, shapes[0].spec)
			g := parse(b, "guard-0", shapes[0].spec(0))
			b.ReportAllocs()
			for b.Loop() {
				if err := a.Upsert(&g); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReplace(b *testing.B) {
	guards := make([]v1alpha1.Guard, 10_000)
	for i := range guards {
		guards[i] = parse(b, fmt.Sprintf("guard-%d", i), shapes[0].spec(i))
	}
	a := newTest(b, Options{})
	for b.Loop() {
		if err := a.Replace(guards); err != nil {
			b.Fatal(err)
		}
	}
}

func TestUntouchedRequestsAllocateNothing(t *testing.T) {
	for _, shape := range shapes {
		a := shaped(t, 1000, shape.spec)
		record := ask(t, shape.request)
		record.User = &user.DefaultInfo{Name: record.User.GetName(), Groups: record.User.GetGroups(), Extra: map[string][]string{"a": {"b"}}}
		var attributes authorizer.Attributes = record
		ctx := context.Background()
		if n := testing.AllocsPerRun(100, func() { a.Authorize(ctx, attributes) }); n != 0 {
			t.Errorf("%s: %v allocations", shape.name, n)
		}
	}
}

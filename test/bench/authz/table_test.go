package main

import (
	"strings"
	"testing"
)

func TestRender(t *testing.T) {
	got := render(parse(`goos: linux
pkg: github.com/gatehouse-io/gatehouse/authz/rbac
BenchmarkAuthorize/denied/side=gatehouse/bindings=10 	 100	       200.0 ns/op	       0 B/op	       0 allocs/op
BenchmarkAuthorize/denied/side=gatehouse/bindings=10 	 100	       100.0 ns/op	       0 B/op	       0 allocs/op
BenchmarkAuthorize/denied/side=gatehouse/bindings=10 	 100	       150.0 ns/op	       0 B/op	       0 allocs/op
BenchmarkAuthorize/denied/side=upstream/bindings=10 	 100	      1500 ns/op	    2048 B/op	      10 allocs/op
pkg: github.com/gatehouse-io/gatehouse/authz/abac
BenchmarkAuthorize/denied/bindings=10/upstream 	 100	      1500 ns/op	    2048 B/op	      10 allocs/op
BenchmarkLoad 	 1	 1500000 ns/op	 365 heap-B/binding	 3 B/op	 1 allocs/op
PASS
`))
	for _, want := range []string{
		"### authz/rbac\n", "### authz/abac\n",
		"| Authorize, denied, bindings=10 |  |  | 1.5 µs |  | 10, 2 KiB |\n",
		"| Authorize, denied, bindings=10 | 10 | 150 ns | 1.5 µs | 0, 0 B | 10, 2 KiB |\n",
		"| Load |  | 1.5 ms |  | 1, 3 B; 365 B a binding stay |  |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

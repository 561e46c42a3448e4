package rego_test

import (
	"fmt"
	"testing"

	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/rego"
)

func TestCorpusReads(t *testing.T) {
	c, _ := rego.NewCompiler(rego.Options{Without: forbidden})
	n, ok, all := 0, 0, 0
	seen := map[string]bool{}
	for _, u := range published(t) {
		if u.GroupVersionKind().Group != "templates.gatekeeper.sh" {
			continue
		}
		one := typed(u)
		if one == nil {
			continue
		}
		p, err := c.Compile(&one.Spec.Targets[0])
		if err != nil {
			continue
		}
		all++
		key := one.Spec.Targets[0].Rego
		if seen[key] {
			continue
		}
		seen[key] = true
		n++
		reads, good := p.Reads()
		if good {
			ok++
		}
		fmt.Println("====", u.GetName(), good, p.Why())
		if len(seen) < 1000 {
			fmt.Println(one.Spec.Targets[0].Rego, one.Spec.Targets[0].Libs)
		}
		for _, r := range reads {
			fmt.Printf("   %d %q %v\n", r.Of, r.Fields, r.Shape)
		}
	}
	fmt.Println(all, n, ok)
}

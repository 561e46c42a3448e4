package program

import (
	"fmt"
	"slices"
	"strings"
)

// program is one thing this module can build.
type program struct {
	// name is the file it is built as.
	name string
	// pkg is the package it is built from.
	pkg string
	// module is the module whose version is the program's.
	module string
	// test says that pkg is a test binary, built by "go test -c".
	test bool
}

var programs = []program{
	{name: "kube-apiserver", pkg: "k8s.io/kubernetes/cmd/kube-apiserver", module: "k8s.io/kubernetes"},
	{name: "kube-controller-manager", pkg: "k8s.io/kubernetes/cmd/kube-controller-manager", module: "k8s.io/kubernetes"},
	{name: "kubectl", pkg: "k8s.io/kubernetes/cmd/kubectl", module: "k8s.io/kubernetes"},
	{name: "e2e.test", pkg: "k8s.io/kubernetes/test/e2e", module: "k8s.io/kubernetes", test: true},
	{name: "etcd", pkg: "go.etcd.io/etcd/server/v3", module: "go.etcd.io/etcd/server/v3"},
	{name: "ginkgo", pkg: "github.com/onsi/ginkgo/v2/ginkgo", module: "github.com/onsi/ginkgo/v2"},
}

// Names lists the programs that Build knows.
func Names() []string {
	var names []string
	for _, p := range programs {
		names = append(names, p.name)
	}
	return names
}

// find returns the program with that name.
func find(name string) (program, error) {
	i := slices.IndexFunc(programs, func(p program) bool { return p.name == name })
	if i < 0 {
		return program{}, fmt.Errorf("no program %q: there are %s", name, strings.Join(Names(), ", "))
	}
	return programs[i], nil
}

// command is the go command line that builds p at version v into out.
func (p program) command(v version, out string) []string {
	args := []string{"go", "build"}
	if p.test {
		args = []string{"go", "test", "-c", "-vet=off"}
	}
	return append(args, "-p", "1", "-trimpath", "-ldflags", ldflags(v), "-o", out, p.pkg)
}

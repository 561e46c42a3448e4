// Command oracle builds pinned programs and prints the path of each, one a
// line, on standard output.
//
//	go -C test/oracle run ./cmd/oracle -dir /tmp/oracle kube-apiserver etcd
//
// Exit codes: 0 built; 2 wrong usage; 4 a build failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/gatehouse-io/gatehouse/test/oracle/program"
)

func main() {
	dir := flag.String("dir", program.DefaultDir(), "`directory` that keeps the built programs")
	flag.Usage = func() {
		fmt.Fprintf(os.Stderr, "usage: oracle [-dir DIR] PROGRAM...\nprograms: %s\n", strings.Join(program.Names(), ", "))
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	for _, name := range flag.Args() {
		path, err := program.Build(context.Background(), program.Options{Dir: *dir, Log: os.Stderr}, name)
		if err != nil {
			fmt.Fprintf(os.Stderr, "error: %v\n", err)
			os.Exit(4)
		}
		fmt.Println(path)
	}
}

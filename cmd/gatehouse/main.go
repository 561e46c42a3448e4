// Command gatehouse is the whole Kubernetes security model in one program.
package main

import (
	"os"

	"github.com/gatehouse-io/gatehouse/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }

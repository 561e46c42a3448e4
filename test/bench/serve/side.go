package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
)

// The names of the two sides, in the table and for -only.
const (
	nameGatehouse = "gatehouse"
	nameStock     = "stock"
)

// side is one of the two contenders.
type side interface {
	// name is nameGatehouse or nameStock.
	name() string
	// prepare makes what the side does not make itself, before the clock starts.
	prepare(dir string) error
	// start runs the side's processes on dir, which holds earlier data or none,
	// and returns without waiting for them.
	start(dir, logDir string) (*instance, error)
}

// configFunc returns the administrator's client configuration. It fails until
// the server has written what it is made from.
type configFunc func() (*rest.Config, error)

// makeSides finds or builds what the sides run.
func makeSides(ctx context.Context, o options) ([]side, error) {
	var sides []side
	if o.only != nameStock {
		bin, err := filepath.Abs(o.gatehouse)
		if err != nil {
			return nil, fmt.Errorf("find gatehouse: %w", err)
		}
		if _, err := os.Stat(bin); err != nil {
			return nil, fmt.Errorf("find gatehouse: %w (name it with -gatehouse or GATEHOUSE_BIN)", err)
		}
		sides = append(sides, gatehouse{bin: bin, config: o.config})
	}
	if o.only != nameGatehouse {
		s, err := buildStock(ctx, o)
		if err != nil {
			return nil, err
		}
		sides = append(sides, s)
	}
	return sides, nil
}

// buildStock has the oracle module build kube-apiserver and etcd, unless they
// are built already.
func buildStock(ctx context.Context, o options) (stock, error) {
	args := []string{"-C", o.oracle, "run", "./cmd/oracle"}
	if o.programs != "" {
		dir, err := filepath.Abs(o.programs)
		if err != nil {
			return stock{}, fmt.Errorf("find the program directory: %w", err)
		}
		args = append(args, "-dir", dir)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "kube-apiserver", "etcd")...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return stock{}, fmt.Errorf("build stock kube-apiserver and etcd: %w", err)
	}
	paths := strings.Fields(string(out))
	if len(paths) != 2 {
		return stock{}, fmt.Errorf("build stock kube-apiserver and etcd: got paths %q", paths)
	}
	return stock{apiserver: paths[0], etcd: paths[1]}, nil
}

// freeAddress finds a loopback port that nothing listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

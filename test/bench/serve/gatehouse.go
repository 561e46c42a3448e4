package main

import (
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// gatehouse is "gatehouse serve" as it comes.
type gatehouse struct {
	// bin is the binary; config its configuration file, or empty.
	bin, config string
}

func (gatehouse) name() string { return nameGatehouse }

// prepare makes nothing: Gatehouse makes its keys itself, within the clock.
func (gatehouse) prepare(string) error { return nil }

func (g gatehouse) start(dir, logDir string) (*instance, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--data-dir", dir, "--listen", addr}
	if g.config != "" {
		args = append(args, "--config", g.config)
	}
	kubeconfig := filepath.Join(dir, "admin.kubeconfig")
	config := func() (*rest.Config, error) {
		c, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return nil, err
		}
		// A kubeconfig from before a restart names the port of that time.
		c.Host = "https://" + addr
		return c, nil
	}
	return startInstance(nameGatehouse, config, logDir, program{name: nameGatehouse, path: g.bin, args: args})
}

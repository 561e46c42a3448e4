package main

import (
	"path/filepath"

	"k8s.io/client-go/rest"
)

// stock is upstream's kube-apiserver with etcd beside it, with as little on as
// they can be run with.
type stock struct {
	// apiserver and etcd are the binaries.
	apiserver, etcd string
}

func (stock) name() string { return nameStock }

// prepare makes the certificates and keys that stock has to be given.
func (stock) prepare(dir string) error { return makeKeys(filepath.Join(dir, "pki")) }

// start runs both programs at the same moment; kube-apiserver waits for etcd by
// itself. Starting it only once etcd is healthy was tried four times each way,
// and made no difference that stood out of the noise.
func (s stock) start(dir, logDir string) (*instance, error) {
	var addrs [3]string
	for i := range addrs {
		var err error
		if addrs[i], err = freeAddress(); err != nil {
			return nil, err
		}
	}
	secure, client, peer := addrs[0], "http://"+addrs[1], "http://"+addrs[2]
	pki := func(file string) string { return filepath.Join(dir, "pki", file) }
	config := func() (*rest.Config, error) {
		return &rest.Config{
			Host: "https://" + secure,
			TLSClientConfig: rest.TLSClientConfig{
				CAFile:   pki("ca.crt"),
				CertFile: pki("admin.crt"),
				KeyFile:  pki("admin.key"),
			},
		}, nil
	}
	return startInstance(nameStock, config, logDir,
		program{name: "etcd", path: s.etcd, args: []string{
			"--name=bench",
			"--data-dir=" + filepath.Join(dir, "etcd"),
			"--listen-client-urls=" + client,
			"--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer,
			"--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=bench=" + peer,
			"--log-level=warn",
		}},
		program{name: "kube-apiserver", path: s.apiserver, args: []string{
			"--etcd-servers=" + client,
			"--bind-address=127.0.0.1",
			"--secure-port=" + portOf(secure),
			// A loopback address cannot be advertised; nobody dials this one.
			"--advertise-address=192.0.2.1",
			"--endpoint-reconciler-type=none",
			"--service-cluster-ip-range=10.0.0.0/24",
			"--authorization-mode=AlwaysAllow",
			"--allow-privileged=true",
			"--client-ca-file=" + pki("ca.crt"),
			"--tls-cert-file=" + pki("server.crt"),
			"--tls-private-key-file=" + pki("server.key"),
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file=" + pki("sa.key"),
			"--service-account-signing-key-file=" + pki("sa.key"),
		}},
	)
}

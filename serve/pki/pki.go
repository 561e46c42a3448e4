package pki

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Pair is a certificate and its key, as paths.
type Pair struct{ Cert, Key string }

// Paths are the files of a PKI. They stay the same for its whole life.
type Paths struct {
	ClusterCA, FrontProxyCA Pair
	// Serving is what the API server shows to clients.
	Serving Pair
	// KubeletClient is what the API server shows to kubelets.
	KubeletClient Pair
	// FrontProxyClient is what the API server shows to aggregated API servers.
	FrontProxyClient Pair
	// EtcdCA, EtcdServer and EtcdClient are empty with Options.ExternalEtcd.
	EtcdCA, EtcdServer, EtcdClient Pair
	// ServiceAccountKey signs tokens; ServiceAccountPub holds its public half,
	// and whatever older public keys an operator has added.
	ServiceAccountKey, ServiceAccountPub string
	// ClientCABundle is who may sign client certificates.
	ClientCABundle string
	// AdminKubeconfig is empty when none was asked for.
	AdminKubeconfig string
}

const (
	// FrontProxyUser is the only common name to accept at the front proxy.
	FrontProxyUser = "front-proxy-client"
	// KubeletClientUser and KubeletClientGroup are who kubelets see calling.
	KubeletClientUser  = "gatehouse:kubelet-client"
	KubeletClientGroup = "gatehouse:kubelet-clients"

	bundleName         = "client-ca-bundle"
	serviceAccountName = "service-account"
)

// PKI is the live PKI of a server.
type PKI struct {
	// Issuer issues client certificates from the cluster CA.
	*Issuer

	// Paths say where everything is. Never written after Ensure.
	Paths Paths

	// Made names what Ensure wrote, in the order it did; empty when everything
	// was there and good. Never written after Ensure.
	Made []string

	opts   Options
	leaves []leafSpec

	// mu makes passes take turns. It guards all below.
	mu sync.Mutex
	// clusterCA is the certificate of the last pass that could load it, from
	// which the bundle is refreshed between passes.
	clusterCA *x509.Certificate
}

// Ensure makes what is missing of the PKI in opts.Dir and renews what is due.
func Ensure(opts Options) (*PKI, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("ensure PKI: %w", err)
	}
	p := &PKI{Issuer: newIssuer(opts), Paths: opts.paths(), opts: opts, leaves: opts.leaves()}
	if err := p.prepare(); err != nil {
		return nil, fmt.Errorf("ensure PKI: %w", err)
	}
	made, _, err := p.pass(p.now(), true)
	if err != nil {
		return nil, fmt.Errorf("ensure PKI: %w", err)
	}
	p.Made = made
	return p, nil
}

// prepare makes the directory and clears what a crash left half written.
func (p *PKI) prepare() error {
	if err := makeDir(p.opts.Dir); err != nil {
		return err
	}
	if err := sweep(p.opts.Dir, ""); err != nil {
		return err
	}
	file := p.opts.AdminKubeconfig
	if file == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), dirMode); err != nil {
		return fmt.Errorf("make directory of admin kubeconfig: %w", err)
	}
	return sweep(filepath.Dir(file), filepath.Base(file))
}

// Renew makes one pass: it issues anew whatever is due at now, or has been lost
// or broken, and says when the next is due. What fails does not keep the rest
// from being renewed. It never makes an authority: one that is gone while the
// server runs is an error.
func (p *PKI) Renew(now time.Time) (renewed []string, next time.Time, err error) {
	renewed, next, err = p.pass(wall(now), false)
	if err != nil {
		err = fmt.Errorf("renew PKI: %w", err)
	}
	return renewed, next, err
}

// pass is Renew, and with create set what Ensure does.
func (p *PKI) pass(now time.Time, create bool) (changed []string, next time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	var errs problems
	note := func(name string, did bool, err error) {
		if did {
			changed = append(changed, name)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	due := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}

	authorities := map[string]*authority{}
	for _, spec := range p.opts.authorities() {
		a, made, err := p.authorityOf(spec, now, create)
		note(spec.name, made, err)
		if err == nil {
			authorities[spec.name] = a
		}
	}
	// At a start nothing is issued on a foundation that is half there.
	if create && len(errs) > 0 {
		return nil, time.Time{}, errs.orNil()
	}
	for _, spec := range p.leaves {
		if ca := authorities[spec.ca]; ca != nil {
			at, did, err := ca.ensureLeaf(spec, pairIn(p.opts.Dir, spec.name), now, p.opts.Rand)
			note(spec.name, did, err)
			due(at)
		}
	}
	made, err := ensureServiceAccount(p.Paths.ServiceAccountKey, p.Paths.ServiceAccountPub, create, p.opts.Rand)
	note(serviceAccountName, made, err)
	if ca := authorities[clusterCA.name]; ca != nil {
		p.clusterCA = ca.cert
		changed, err := refreshBundle(p.Paths.ClientCABundle, ca.cert, p.opts.ExtraClientCAFile)
		note(bundleName, changed, err)
		if p.opts.AdminKubeconfig != "" {
			a := admin{path: p.opts.AdminKubeconfig, server: p.opts.AdminServer, who: p.opts.Admin}
			at, did, err := a.ensure(ca, now, p.opts.Rand)
			note(adminName, did, err)
			due(at)
		}
	}
	return changed, next, errs.orNil()
}

func (p *PKI) authorityOf(spec authoritySpec, now time.Time, create bool) (*authority, bool, error) {
	pair := pairIn(p.opts.Dir, spec.name)
	if create {
		return ensureAuthority(spec, pair, now, p.opts.Rand)
	}
	a, err := loadAuthority(spec, pair, now)
	return a, false, err
}

// authorities are the authorities that the options, with defaults, ask for.
func (o Options) authorities() []authoritySpec {
	if o.ExternalEtcd {
		return []authoritySpec{clusterCA, frontProxyCA}
	}
	return []authoritySpec{clusterCA, frontProxyCA, etcdCA}
}

// leaves are the certificates that the options, which are valid, ask for.
func (o Options) leaves() []leafSpec {
	server := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	names, _ := parseSANs(o.SANs)
	leaves := []leafSpec{
		{name: "serving", ca: clusterCA.name, user: "gatehouse", sans: names, usages: server},
		{name: "kubelet-client", ca: clusterCA.name, user: KubeletClientUser, groups: []string{KubeletClientGroup}, usages: client},
		{name: "front-proxy-client", ca: frontProxyCA.name, user: FrontProxyUser, usages: client},
	}
	if !o.ExternalEtcd {
		// gRPC takes the last element of a socket's path for the server's name.
		local, _ := parseSANs([]string{"localhost", "127.0.0.1", "etcd.sock"})
		leaves = append(leaves,
			// Etcd's own gateway dials etcd with the server's certificate, hence
			// the second usage.
			leafSpec{name: "etcd-server", ca: etcdCA.name, user: "gatehouse-etcd", sans: local,
				usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}},
			leafSpec{name: "etcd-client", ca: etcdCA.name, user: "gatehouse-etcd-client", usages: client},
		)
	}
	for i := range leaves {
		leaves[i].life = LeafLifetime
	}
	return leaves
}

func (o Options) paths() Paths {
	p := Paths{
		ClusterCA:         pairIn(o.Dir, clusterCA.name),
		FrontProxyCA:      pairIn(o.Dir, frontProxyCA.name),
		Serving:           pairIn(o.Dir, "serving"),
		KubeletClient:     pairIn(o.Dir, "kubelet-client"),
		FrontProxyClient:  pairIn(o.Dir, "front-proxy-client"),
		ServiceAccountKey: filepath.Join(o.Dir, serviceAccountName+".key"),
		ServiceAccountPub: filepath.Join(o.Dir, serviceAccountName+".pub"),
		ClientCABundle:    filepath.Join(o.Dir, bundleName+".crt"),
		AdminKubeconfig:   o.AdminKubeconfig,
	}
	if !o.ExternalEtcd {
		p.EtcdCA = pairIn(o.Dir, etcdCA.name)
		p.EtcdServer = pairIn(o.Dir, "etcd-server")
		p.EtcdClient = pairIn(o.Dir, "etcd-client")
	}
	return p
}

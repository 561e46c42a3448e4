package serve

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authn/certcache"
	"github.com/gatehouse-io/gatehouse/authn/revocation"
	"github.com/gatehouse-io/gatehouse/secret"
	"github.com/gatehouse-io/gatehouse/serve/pki"
	"github.com/gatehouse-io/gatehouse/telemetry/meter"
)

// What files are called in reloads, beside those of loadAndWatch.
const (
	tokenFile = "token file"
	crlFile   = "certificate revocation lists"
)

// lookInterval is how often certificates and keys are looked at.
const lookInterval = 15 * time.Second

// meters are the instruments around the gates of the server.
type meters struct {
	authn, authz *meter.Decisions
	families     []meter.Family
	reloads      meter.Reloads // what became of changed settings files
	certificates *meter.Certificates
	keys         *keyAges
	renewals     atomic.Uint64 // passes over the PKI that failed
}

func newMeters(cfg *v1alpha1.ServeConfiguration, d *dataDir, keys *pki.PKI, listener net.Listener) *meters {
	m := &meters{
		authn:        meter.NewDecisions("authn", meter.AuthenticationVerdicts...),
		authz:        meter.NewDecisions("authz", meter.AuthorizationVerdicts...),
		certificates: meter.NewCertificates(watchedCertificates(cfg, keys, listener)...),
		keys: &keyAges{
			ages:       secret.NewAges(d.path("secret", "key-ages.json"), clock.RealClock{}),
			encryption: cfg.Encryption.ConfigFile, serviceAccount: keys.Paths.ServiceAccountKey,
		},
	}
	m.add(m.certificates.Families()...)
	m.add(m.keys.families()...)
	m.add(m.reloads.Families()...)
	m.add(meter.Counter("gatehouse_pki_renewal_failures_total", "Attempts to renew certificates that failed.",
		func() float64 { return float64(m.renewals.Load()) }))
	if len(cfg.Etcd.Servers) == 0 {
		quota := float64(cfg.Etcd.QuotaBackend.Value())
		m.add(meter.Gauge("gatehouse_etcd_quota_bytes", "Bytes that the database of etcd may take before it refuses writes.", func() float64 { return quota }))
	}
	return m
}

func (m *meters) add(all ...meter.Family) { m.families = append(m.families, all...) }

// register tells all of them to whoever asks for /metrics.
func (m *meters) register() error {
	r := meter.Registry{Register: legacyregistry.Register, CustomRegister: legacyregistry.CustomRegister}
	return r.Add([]*meter.Decisions{m.authn, m.authz}, m.families...)
}

// run looks at certificates and keys until ctx ends.
func (m *meters) run(ctx context.Context) {
	go m.keys.run(ctx)
	m.certificates.Run(ctx, lookInterval)
}

// ofAuthorizer are the sizes of what decides.
func (m *meters) ofAuthorizer(c *authorizerChain) {
	c.decided = m.authz
	var index meter.RBACIndex
	if c.rbac != nil {
		index = c.rbac
	}
	m.add(meter.Authorization(c.guards, index)...)
}

// ofAuthentication are the sizes of what is remembered and revoked. crl is nil for none.
func (m *meters) ofAuthentication(cache *certcache.Cache, registry *revocation.Registry, crl *revocation.CRLFile) {
	m.add(meter.Revocations(registry)...)
	m.add(meter.Family{Name: "gatehouse_authn_certificate_cache_lookups_total", Help: "Requests with a client certificate, by whether it was remembered.",
		Labels: []string{"result"}, Counter: true,
		Read: func() []meter.Value {
			hits, misses := cache.Lookups()
			return []meter.Value{meter.Of("hit", float64(hits)), meter.Of("miss", float64(misses))}
		}})
	if crl != nil {
		m.add(meter.Family{Name: "gatehouse_authn_crl_next_update_timestamp_seconds", Help: "When the first of the certificate revocation lists expires.",
			Read: func() []meter.Value {
				if next := crl.NextUpdate(); !next.IsZero() {
					return []meter.Value{{Number: float64(next.Unix())}}
				}
				return nil
			}})
	}
}

// isRevoked tells whether a credential was refused because it is revoked.
func isRevoked(err error) bool {
	_, ok := errors.AsType[*revocation.RevokedError](err)
	return ok
}

// shownToStrangers is a name that no certificate of this server's own has: who asks for it
// is shown the certificate of the settings.
const shownToStrangers = "certificate-check.invalid"

func watchedCertificates(cfg *v1alpha1.ServeConfiguration, keys *pki.PKI, listener net.Listener) []meter.Certificate {
	p := keys.Paths
	address := dialable(listener)
	all := []meter.Certificate{
		{Name: "serving", File: p.Serving.Cert, Address: address, ServerName: "localhost"},
		{Name: "cluster-ca", File: p.ClusterCA.Cert},
		{Name: "front-proxy-ca", File: p.FrontProxyCA.Cert},
		{Name: "front-proxy-client", File: p.FrontProxyClient.Cert},
		{Name: "kubelet-client", File: p.KubeletClient.Cert},
		{Name: "etcd-ca", File: p.EtcdCA.Cert},
		{Name: "etcd-server", File: p.EtcdServer.Cert},
		{Name: "etcd-client", File: p.EtcdClient.Cert},
	}
	if cfg.TLS.CertFile != "" {
		all = append(all, meter.Certificate{Name: "tls", File: cfg.TLS.CertFile, Address: address, ServerName: shownToStrangers})
	}
	return all
}

// keyAges are how old the keys are that this server writes and signs with.
type keyAges struct {
	ages                       *secret.Ages
	encryption, serviceAccount string // files
	seen                       atomic.Pointer[[]meter.Value]
	plaintext                  atomic.Int64
}

func (k *keyAges) run(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for said := ""; ; {
		if err := k.look(); err == nil {
			said = ""
		} else if said != err.Error() {
			said = err.Error()
			klog.Warningf("The age of keys is not known: %v", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (k *keyAges) look() error {
	keys, plaintext, err := secret.WriteKeys(k.encryption)
	var all []meter.Value
	if err == nil {
		k.plaintext.Store(int64(plaintext))
		var oldest time.Time
		if oldest, err = k.ages.Oldest(k.encryption, keys...); !oldest.IsZero() {
			all = append(all, meter.Of("encryption", float64(oldest.Unix())))
		}
	}
	signing, readErr := os.ReadFile(k.serviceAccount)
	if readErr == nil {
		var oldest time.Time
		if oldest, readErr = k.ages.Oldest(k.serviceAccount, secret.DigestOf(signing)); !oldest.IsZero() {
			all = append(all, meter.Of("service-account", float64(oldest.Unix())))
		}
	}
	k.seen.Store(&all)
	return errors.Join(err, readErr)
}

func (k *keyAges) families() []meter.Family {
	return []meter.Family{
		{Name: "gatehouse_secret_key_first_seen_timestamp_seconds", Help: "When the oldest key that is written or signed with was first seen, by what it is for.", Labels: []string{"key"},
			Read: func() []meter.Value {
				if seen := k.seen.Load(); seen != nil {
					return *seen
				}
				return nil
			}},
		meter.Gauge("gatehouse_secret_plaintext_rules", "Entries of the encryption configuration that write without encryption.",
			func() float64 { return float64(k.plaintext.Load()) }),
	}
}

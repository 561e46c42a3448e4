package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"k8s.io/utils/clock"
)

// systemMasters is the group that upstream lets past every authorizer.
const systemMasters = "system:masters"

// IssueOptions say who a client certificate is.
type IssueOptions struct {
	// User is the common name, which is the user's name. Required.
	User string
	// Groups are the organizations, which are the user's groups.
	Groups []string
	// TTL is how long the certificate is good: above zero, at most MaxTTL. It
	// ends earlier when the cluster CA does.
	TTL time.Duration
	// AllowSystemMasters permits the group system:masters, which is above every
	// rule where authorization.systemMastersBypass is set, and wherever a stock
	// kube-apiserver believes the same CA.
	AllowSystemMasters bool
}

func (o IssueOptions) validate() error {
	if err := validateName(o.User); err != nil {
		return fmt.Errorf("option User: %w", err)
	}
	for _, group := range o.Groups {
		if err := validateName(group); err != nil {
			return fmt.Errorf("option Groups: %w", err)
		}
	}
	if slices.Contains(o.Groups, systemMasters) && !o.AllowSystemMasters {
		return fmt.Errorf("option Groups: %s may be above every rule, and needs AllowSystemMasters", systemMasters)
	}
	if o.TTL <= 0 {
		return errors.New("option TTL: must be more than zero")
	}
	if o.TTL > MaxTTL {
		return fmt.Errorf("option TTL: %s is more than %s", o.TTL, MaxTTL)
	}
	return nil
}

// validateName refuses what would not survive the way into a certificate and
// out again, or would not read as what it is in a log.
func validateName(name string) error {
	if strings.TrimSpace(name) == "" {
		return errors.New("is empty")
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("%q: holds characters that a name cannot have", name)
	}
	return nil
}

func validateServer(server string) error {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return fmt.Errorf("%q: is not a URL of the form https://HOST:PORT", server)
	}
	return nil
}

// spec is the certificate that the options, which are valid, ask for.
func (o IssueOptions) spec() leafSpec {
	groups := slices.Clone(o.Groups)
	slices.Sort(groups)
	return leafSpec{
		name:   "client",
		ca:     clusterCA.name,
		user:   o.User,
		groups: slices.Compact(groups),
		usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		life:   o.TTL,
	}
}

// Issuer issues client certificates from the cluster CA. It reads the authority
// anew for each, and so holds no key and may live beside a running server.
type Issuer struct {
	dir   string
	clock clock.PassiveClock
	rand  io.Reader
}

// Open finds the PKI in opts.Dir for issuing only. It writes nothing there. Of
// the options it takes Dir, Clock and Rand.
func Open(opts Options) (*Issuer, error) {
	opts = opts.withDefaults()
	if opts.Dir == "" {
		return nil, errors.New("open PKI: Dir: is empty")
	}
	i := newIssuer(opts)
	if _, err := i.authority(); err != nil {
		return nil, fmt.Errorf("open PKI: %w", err)
	}
	return i, nil
}

// newIssuer takes options that have their defaults.
func newIssuer(opts Options) *Issuer {
	return &Issuer{dir: opts.Dir, clock: opts.Clock, rand: opts.Rand}
}

func (i *Issuer) authority() (*authority, error) {
	return loadAuthority(clusterCA, pairIn(i.dir, clusterCA.name), i.now())
}

// now has no monotonic reading and no fraction, like the times in certificates.
func (i *Issuer) now() time.Time { return wall(i.clock.Now()) }

func wall(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func pairIn(dir, name string) Pair {
	return Pair{Cert: filepath.Join(dir, name+".crt"), Key: filepath.Join(dir, name+".key")}
}

// entry issues a client certificate and makes a kubeconfig entry of it.
func (i *Issuer) entry(server string, o IssueOptions) (*kubeEntry, *x509.Certificate, error) {
	if err := validateServer(server); err != nil {
		return nil, nil, fmt.Errorf("issue client certificate: server: %w", err)
	}
	if err := o.validate(); err != nil {
		return nil, nil, fmt.Errorf("issue client certificate: %w", err)
	}
	ca, err := i.authority()
	if err != nil {
		return nil, nil, fmt.Errorf("issue client certificate: %w", err)
	}
	leaf, err := ca.issue(o.spec(), i.now(), i.rand)
	if err != nil {
		return nil, nil, fmt.Errorf("issue client certificate: %w", err)
	}
	return &kubeEntry{server: server, ca: encodeCert(ca.cert), cert: leaf.certPEM, key: leaf.keyPEM}, leaf.cert, nil
}

// Kubeconfig issues a client certificate and returns a kubeconfig that holds
// it, its key and the cluster CA. The certificate is returned too, for its end
// and serial number.
func (i *Issuer) Kubeconfig(server string, o IssueOptions) ([]byte, *x509.Certificate, error) {
	entry, cert, err := i.entry(server, o)
	if err != nil {
		return nil, nil, err
	}
	data, err := entry.into(nil)
	if err != nil {
		return nil, nil, err
	}
	return data, cert, nil
}

// WriteKubeconfig is Kubeconfig into a file, with mode 0600. Where the file is a
// kubeconfig already, the entries named gatehouse are replaced and all others,
// the current context among them, are kept. A file that is anything else is an
// error and stays as it is.
func (i *Issuer) WriteKubeconfig(path, server string, o IssueOptions) (*x509.Certificate, error) {
	have, err := readKubeconfig(path)
	if err != nil {
		return nil, err
	}
	entry, cert, err := i.entry(server, o)
	if err != nil {
		return nil, err
	}
	return cert, entry.write(path, have)
}

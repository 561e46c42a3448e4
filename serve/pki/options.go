package pki

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/utils/clock"
)

const (
	// LeafLifetime is how long a certificate the server uses itself is good. It
	// is short enough that renewal is exercised several times a year and long
	// enough that a machine switched off for a month starts with valid ones.
	LeafLifetime = 90 * 24 * time.Hour

	// AdminLifetime is the default life of the certificate in the admin
	// kubeconfig. It is shorter because that file is copied about.
	AdminLifetime = 7 * 24 * time.Hour

	// MaxTTL is the longest life a client certificate may be issued for.
	MaxTTL = 365 * 24 * time.Hour

	// AdminUser and AdminGroup are who the admin kubeconfig is by default.
	AdminUser  = "gatehouse:admin"
	AdminGroup = "gatehouse:admins"

	// authorityYears is the life of a certificate authority.
	authorityYears = 10

	// backdate is how far before now a certificate begins to be valid, so that
	// a client whose clock is a little slow accepts a fresh one.
	backdate = 5 * time.Minute

	// minAdminTTL leaves Run, which wakes each minute, time to renew.
	minAdminTTL = 10 * time.Minute
)

// Options say what a PKI is for.
type Options struct {
	// Dir is the directory of the PKI, DATA_DIR/pki. It is made with mode 0700.
	// Required.
	Dir string

	// SANs are the DNS names and IP addresses clients reach the server by. The
	// serving certificate is issued anew when it lacks one. An unspecified
	// address (0.0.0.0, ::) is left out, since nobody dials it. Ensure needs at
	// least one.
	SANs []string

	// Clock says what time it is. Default: the system's.
	Clock clock.PassiveClock

	// Rand is where serial numbers come from. Default: crypto/rand. Since Go
	// 1.26 the standard library takes keys and signatures from the system
	// whatever is set here.
	Rand io.Reader

	// ExternalEtcd leaves out the etcd authority and its certificates.
	ExternalEtcd bool

	// ExtraClientCAFile is a PEM file of further authorities whose client
	// certificates count. Ensure fails when it holds no certificate. Default:
	// none.
	ExtraClientCAFile string

	// AdminKubeconfig is the path of the admin kubeconfig. Default: none is
	// written.
	AdminKubeconfig string

	// AdminServer is the https URL the admin kubeconfig points to. Required
	// with AdminKubeconfig.
	AdminServer string

	// Admin is who the admin kubeconfig is. Default: AdminUser in AdminGroup
	// for AdminLifetime; a User without Groups is in none. Its TTL is at least
	// ten minutes.
	Admin IssueOptions
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Admin.User == "" {
		o.Admin.User = AdminUser
		if len(o.Admin.Groups) == 0 {
			o.Admin.Groups = []string{AdminGroup}
		}
	}
	if o.Admin.TTL == 0 {
		o.Admin.TTL = AdminLifetime
	}
	return o
}

// validate checks options that have their defaults.
func (o Options) validate() error {
	if o.Dir == "" {
		return errors.New("option Dir: is empty")
	}
	if _, err := parseSANs(o.SANs); err != nil {
		return fmt.Errorf("option SANs: %w", err)
	}
	if o.AdminKubeconfig == "" {
		return nil
	}
	if err := validateServer(o.AdminServer); err != nil {
		return fmt.Errorf("option AdminServer: %w", err)
	}
	if err := o.Admin.validate(); err != nil {
		return fmt.Errorf("option Admin: %w", err)
	}
	if o.Admin.TTL < minAdminTTL {
		return fmt.Errorf("option Admin.TTL: %s is less than %s", o.Admin.TTL, minAdminTTL)
	}
	return nil
}

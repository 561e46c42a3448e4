package sink

import (
	"fmt"
	"net/url"
	"os"

	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// Options are those of New.
type Options struct {
	// Alerts are the settings, with defaults.
	Alerts v1alpha1.AlertOptions
	// Events is where Events are made. Needed where they are not disabled.
	Events typedcorev1.EventsGetter
	// Host is the name of this machine, in syslog and Events. Default: what the kernel says.
	Host string
	// Clock. Default: the real one.
	Clock clock.PassiveClock
}

// New makes the sinks that the settings name. Files with secrets are read once, so that one
// that is not there is an error now.
func New(o Options) ([]alert.Sink, error) {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Host == "" {
		var err error
		if o.Host, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("name this machine: %w", err)
		}
	}
	var all []alert.Sink
	a := o.Alerts
	for i, s := range a.Alertmanagers {
		c := &client{caFile: s.CAFile}
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("detection.alerts.alertmanagers[%d].caFile: %w", i, err)
		}
		if s.BearerTokenFile != "" {
			if _, err := secret(s.BearerTokenFile); err != nil {
				return nil, fmt.Errorf("detection.alerts.alertmanagers[%d].bearerTokenFile: %w", i, err)
			}
		}
		all = append(all, &alertmanager{settings: s, client: c, clock: o.Clock, resend: resend})
	}
	for i, s := range a.Webhooks {
		c := &client{caFile: s.CAFile}
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("detection.alerts.webhooks[%d].caFile: %w", i, err)
		}
		if _, err := keys(s.SecretFile); err != nil {
			return nil, fmt.Errorf("detection.alerts.webhooks[%d].secretFile: %w", i, err)
		}
		all = append(all, &webhook{settings: s, client: c, clock: o.Clock})
	}
	for i, s := range a.Slack {
		c := &client{caFile: s.CAFile}
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("detection.alerts.slack[%d].caFile: %w", i, err)
		}
		if _, err := slackURL(s.URLFile); err != nil {
			return nil, fmt.Errorf("detection.alerts.slack[%d].urlFile: %w", i, err)
		}
		all = append(all, &slack{settings: s, client: c})
	}
	for i, s := range a.Syslog {
		c := &client{caFile: s.CAFile}
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("detection.alerts.syslog[%d].caFile: %w", i, err)
		}
		all = append(all, &syslog{settings: s, client: c, host: o.Host})
	}
	for _, s := range a.Files {
		all = append(all, &file{settings: s})
	}
	if d := a.Events.Disabled; d != nil && !*d {
		if o.Events == nil {
			return nil, fmt.Errorf("detection.alerts.events: there is no cluster to make Events in")
		}
		all = append(all, &events{settings: a.Events, client: o.Events, host: o.Host, clock: o.Clock})
	}
	return all, nil
}

// shown is what of a URL may be seen: a path or a query may be a secret.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "…"
	}
	return u.Scheme + "://" + u.Host
}

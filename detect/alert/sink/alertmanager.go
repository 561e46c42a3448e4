package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

const (
	// resend is how often Alertmanager is told what is open: it keeps that in memory.
	resend = time.Minute
	// believed is for how many times of that it believes it.
	believed = 5
)

// alertmanager is a sink: the API of Alertmanager, version 2.
type alertmanager struct {
	settings v1alpha1.AlertmanagerSink
	client   *client
	clock    clock.PassiveClock
	// resend is the constant, and less in tests.
	resend time.Duration
}

// lasts is how long Alertmanager believes what it is told.
func (s *alertmanager) lasts() time.Duration { return believed * s.resend }

// postable is an alert as the API takes it.
type postable struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

func (s *alertmanager) Traits() alert.Traits {
	return alert.Traits{Type: "alertmanager", Name: shown(s.settings.URL), Batch: 64, Least: s.settings.MinSeverity, Resend: s.resend}
}

func (s *alertmanager) Send(ctx context.Context, alerts []alert.Alert) error {
	body, err := json.Marshal(s.postables(alerts))
	if err != nil {
		return fmt.Errorf("write alerts: %w", err)
	}
	header := http.Header{}
	if s.settings.BearerTokenFile != "" {
		token, err := secret(s.settings.BearerTokenFile)
		if err != nil {
			return err
		}
		header.Set("Authorization", "Bearer "+token)
	}
	return s.client.post(ctx, strings.TrimSuffix(s.settings.URL, "/")+"/api/v2/alerts", body, header)
}

// postables has one for each Finding: the newest. Where it was told and over since the last
// time, Alertmanager is told that it goes on for a while: it notifies of nothing that is
// over when it first hears of it.
func (s *alertmanager) postables(alerts []alert.Alert) []*postable {
	now := s.clock.Now()
	var all []*postable
	at := map[string]int{}
	firing := map[string]bool{}
	for i := range alerts {
		a := &alerts[i]
		p := s.postable(a, now)
		key := a.Finding.Fingerprint + " " + string(a.Finding.Severity)
		if a.Status == alert.Firing {
			firing[key] = true
		} else if firing[key] {
			p.EndsAt = now.Add(s.lasts())
		}
		if n, ok := at[key]; ok {
			all[n] = p
			continue
		}
		at[key] = len(all)
		all = append(all, p)
	}
	return all
}

// postable makes labels of what is the same as long as a Finding is open: they are what
// Alertmanager knows it by.
func (s *alertmanager) postable(a *alert.Alert, now time.Time) *postable {
	f := &a.Finding
	p := &postable{
		Labels: map[string]string{
			"alertname": plain(f.Rule, shortText), "severity": plain(string(f.Severity), shortText),
			"fingerprint": plain(f.Fingerprint, shortText), "source": "gatehouse",
		},
		Annotations: map[string]string{"summary": plain(f.Title, shortText), "description": sentence(a)},
		StartsAt:    f.First, EndsAt: now.Add(s.lasts()),
	}
	if a.Status == alert.Resolved {
		p.EndsAt = a.At
	}
	if p.EndsAt.Before(p.StartsAt) { // the clocks of two machines
		p.StartsAt = p.EndsAt
	}
	if a.Cluster != "" {
		p.Labels["cluster"] = plain(a.Cluster, shortText)
	}
	if a.RunbookURL != "" {
		p.Annotations["runbook_url"] = plain(a.RunbookURL, messageText)
	}
	for _, fact := range facts(a) {
		p.Annotations[fact.name] = fact.text
	}
	return p
}

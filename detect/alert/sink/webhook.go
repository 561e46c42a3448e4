package sink

import (
	"context"
	"fmt"
	"net/http"

	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// Message is what a webhook gets.
type Message struct {
	// Version of this form: 1.
	Version string        `json:"version"`
	Alerts  []alert.Alert `json:"alerts"`
}

const messageVersion = "1"

// webhook is a sink: a program of somebody's.
type webhook struct {
	settings v1alpha1.WebhookSink
	client   *client
	clock    clock.PassiveClock
}

func (s *webhook) Traits() alert.Traits {
	// Two paths of one host are two webhooks, and the path may be a secret.
	return alert.Traits{Type: "webhook", Name: shown(s.settings.URL) + " (" + mark(s.settings.URL) + ")", Batch: 50, Least: s.settings.MinSeverity}
}

func (s *webhook) Send(ctx context.Context, alerts []alert.Alert) error {
	body, err := jsonText(Message{messageVersion, alerts})
	if err != nil {
		return fmt.Errorf("write alerts: %w", err)
	}
	all, err := keys(s.settings.SecretFile)
	if err != nil {
		return err
	}
	header := http.Header{}
	sign(header, all, body, s.clock.Now())
	return s.client.post(ctx, s.settings.URL, body, header)
}

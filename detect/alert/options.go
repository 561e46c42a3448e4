package alert

import (
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"k8s.io/utils/clock"
)

// Options are those of a Dispatcher.
type Options struct {
	// Dir is the folder of the queues and of what was told. It is made with mode 0700, and
	// belongs to one process at a time. Needed.
	Dir string
	// Sinks are where Alerts go. None is allowed: Findings are then not told.
	Sinks []Sink
	// Enrich finds out the Context of what is told. Default: nothing is found out.
	Enrich Enricher
	// EnrichTimeout bounds it, for all that is told at a time together. Default: 500ms.
	EnrichTimeout time.Duration
	// Cluster becomes Alert.Cluster.
	Cluster string
	// RunbookBaseURL is put before a Finding.Runbook that is no URL. Default: none, and
	// such a runbook is no RunbookURL.
	RunbookBaseURL string

	// GroupWait is how long a new Finding waits for others to go with it. Default: 0.
	GroupWait time.Duration
	// GroupInterval is how often a Finding that there is more of is told again.
	// Default: 5m.
	GroupInterval time.Duration
	// RepeatInterval is how often one is told again that merely lasts. Default: 4h.
	RepeatInterval time.Duration
	// PerMinute is how many Sends each sink gets, after a burst of ten. Default: 60.
	PerMinute int
	// QueueSize is how many Alerts wait for each sink at most. Default: 10000.
	QueueSize int
	// SendTimeout bounds one Send. Default: 10s.
	SendTimeout time.Duration
	// Backoff and LongestBackoff are the first and the longest pause after a Send that
	// failed. Default: 500ms and 1m.
	Backoff, LongestBackoff time.Duration

	// Clock. Default: the real one.
	Clock clock.WithTicker
	// Jitter is up to a quarter of a pause, which is added to it. Default: random.
	Jitter func(pause time.Duration) time.Duration
	// Log takes what an operator should see. Default: nobody does.
	Log func(message string)
}

func setDefault[T comparable](field *T, value T) {
	var unset T
	if *field == unset {
		*field = value
	}
}

func (o *Options) setDefaults() error {
	if o.Dir == "" {
		return errors.New("open alerts: no folder is named")
	}
	setDefault(&o.EnrichTimeout, 500*time.Millisecond)
	setDefault(&o.GroupInterval, 5*time.Minute)
	setDefault(&o.RepeatInterval, 4*time.Hour)
	setDefault(&o.PerMinute, 60)
	setDefault(&o.QueueSize, 10000)
	setDefault(&o.SendTimeout, 10*time.Second)
	setDefault(&o.Backoff, 500*time.Millisecond)
	setDefault(&o.LongestBackoff, time.Minute)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Jitter == nil {
		o.Jitter = func(pause time.Duration) time.Duration { return rand.N(pause/4 + 1) }
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	return nil
}

// runbook is where the runbook of a Finding is; empty where nobody said.
func (o *Options) runbook(name string) string {
	switch {
	case name == "" || strings.HasPrefix(name, "https://") || strings.HasPrefix(name, "http://"):
		return name
	case o.RunbookBaseURL == "":
		return ""
	}
	return strings.TrimSuffix(o.RunbookBaseURL, "/") + "/" + name
}

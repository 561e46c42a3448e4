package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DetectionOptions say what is looked for in audit events, and who is told.
type DetectionOptions struct {
	// Disabled looks for nothing. Default: false, where there is an audit store.
	Disabled bool `json:"disabled,omitempty"`

	// Rules names the built-in rules that run: "*" for all, NAME for one, -NAME to
	// leave one out. Default: ["*"].
	Rules *[]string `json:"rules,omitempty"`

	// RulesDir is a folder of YAML files with DetectionRules and Mutes of your own,
	// besides the objects of the cluster. Default: none.
	RulesDir string `json:"rulesDir,omitempty"`

	// DataDir is the folder of what rules remember and what sinks have not been sent
	// yet. It is created with mode 0700. Default under serve: DATA_DIR/detect.
	// Default under attach: detect in the folder of the audit store.
	DataDir string `json:"dataDir,omitempty"`

	// RunbookBaseURL is put before the names of runbooks that are no URLs
	// themselves. Default: none, and alerts have no link to those.
	RunbookBaseURL string `json:"runbookBaseURL,omitempty"`

	Alerts   AlertOptions    `json:"alerts,omitempty"`
	Response ResponseOptions `json:"response,omitempty"`
}

// AlertOptions say who is told of findings, and how often. Without any sink nobody is.
type AlertOptions struct {
	// GroupWait is how long a new finding waits for others to be told together.
	// Default: 0s.
	GroupWait *metav1.Duration `json:"groupWait,omitempty"`

	// GroupInterval is how often a finding that there is more of is told again.
	// Default: 5m.
	GroupInterval *metav1.Duration `json:"groupInterval,omitempty"`

	// RepeatInterval is how often a finding is told again that is not over, and that
	// there is no more of. Default: 4h.
	RepeatInterval *metav1.Duration `json:"repeatInterval,omitempty"`

	// RatePerMinute is how many messages each sink gets, after a burst of ten. What
	// waits goes together in one. Default: 60.
	RatePerMinute int32 `json:"ratePerMinute,omitempty"`

	// QueueSize is how many alerts wait on the disk for each sink. When there are
	// more, the least severe is dropped, of those the oldest. Default: 10000.
	QueueSize int32 `json:"queueSize,omitempty"`

	// Alertmanagers are told by their API, version 2. Name each replica. Default: none.
	Alertmanagers []AlertmanagerSink `json:"alertmanagers,omitempty"`

	// Webhooks get signed JSON. Default: none.
	Webhooks []WebhookSink `json:"webhooks,omitempty"`

	// Slack names incoming webhooks: Slack's, or those of what reads their format.
	// Default: none.
	Slack []SlackSink `json:"slack,omitempty"`

	// Syslog are receivers of RFC 5424. Default: none.
	Syslog []SyslogSink `json:"syslog,omitempty"`

	// Files get one line of JSON for each alert. Default: none.
	Files []FileSink `json:"files,omitempty"`

	Events EventsSinkOptions `json:"events,omitempty"`
}

// AlertmanagerSink is an Alertmanager.
type AlertmanagerSink struct {
	// URL of it, without the path of the API, such as https://alertmanager.example.com.
	URL string `json:"url"`

	// CAFile holds the CAs (PEM) its certificate must verify against. Default: the
	// system's.
	CAFile string `json:"caFile,omitempty"`

	// BearerTokenFile holds a token that is sent with each request; read again each
	// time. Default: none.
	BearerTokenFile string `json:"bearerTokenFile,omitempty"`

	// MinSeverity is the severity below which nothing is sent. Default: info.
	MinSeverity DetectionSeverity `json:"minSeverity,omitempty"`
}

// WebhookSink is a program of yours.
type WebhookSink struct {
	// URL that alerts are posted to.
	URL string `json:"url"`

	// SecretFile holds the key of the signature, at least 16 bytes; a second line is a
	// second key, and there are two signatures. Read again each time.
	SecretFile string `json:"secretFile"`

	// CAFile holds the CAs (PEM) its certificate must verify against. Default: the
	// system's.
	CAFile string `json:"caFile,omitempty"`

	// MinSeverity is the severity below which nothing is sent. Default: info.
	MinSeverity DetectionSeverity `json:"minSeverity,omitempty"`
}

// SlackSink is an incoming webhook of a channel.
type SlackSink struct {
	// URLFile holds its URL, which is a secret; read again each time.
	URLFile string `json:"urlFile"`

	// CAFile holds the CAs (PEM) its certificate must verify against. Default: the
	// system's.
	CAFile string `json:"caFile,omitempty"`

	// MinSeverity is the severity below which nothing is sent. Default: info.
	MinSeverity DetectionSeverity `json:"minSeverity,omitempty"`
}

// SyslogSink is a receiver of syslog.
type SyslogSink struct {
	// Network is udp, tcp or tls. What udp loses is not noticed. Default: tls.
	Network string `json:"network,omitempty"`

	// Address is HOST:PORT.
	Address string `json:"address"`

	// CAFile holds the CAs (PEM) its certificate must verify against, by tls.
	// Default: the system's.
	CAFile string `json:"caFile,omitempty"`

	// MinSeverity is the severity below which nothing is sent. Default: info.
	MinSeverity DetectionSeverity `json:"minSeverity,omitempty"`
}

// FileSink is a file.
type FileSink struct {
	// Path of it. It is created with mode 0600, and opened anew each time, so that it
	// can be rotated by renaming it.
	Path string `json:"path"`

	// MinSeverity is the severity below which nothing is written. Default: info.
	MinSeverity DetectionSeverity `json:"minSeverity,omitempty"`
}

// EventsSinkOptions make an Event (core/v1) of each finding, in the namespace that it is
// about. Whoever may list such there can read it.
type EventsSinkOptions struct {
	// Disabled makes none. Default: true.
	Disabled *bool `json:"disabled,omitempty"`

	// MinSeverity is the severity below which none is made. Default: info.
	MinSeverity DetectionSeverity `json:"minSeverity,omitempty"`
}

// ResponseOptions say what is done to who a finding is about.
type ResponseOptions struct {
	// Mode is Off, DryRun (what would be done is logged and told) or Enforce.
	// Default: Off.
	Mode string `json:"mode,omitempty"`

	// Duration is when what was made ends. Default: 15m.
	Duration *metav1.Duration `json:"duration,omitempty"`

	// Privileged lets members of system:masters and gatehouse:admins, nodes and the
	// control plane be stopped too. Default: false.
	Privileged bool `json:"privileged,omitempty"`

	// Rules are those that something is done for. Default: none.
	Rules []ResponseRule `json:"rules,omitempty"`
}

// ResponseRule is a rule, and what is done where it finds something.
type ResponseRule struct {
	// Rule by name.
	Rule string `json:"rule"`

	// Create is Revocation (the subject's credential is refused) or Guard (the subject
	// may do nothing). Default: Guard.
	Create string `json:"create,omitempty"`
}

package v1alpha1

import (
	"testing"
	"time"
)

// oneSinkEach has an item in each list of sections.
func oneSinkEach() DetectionOptions {
	return DetectionOptions{
		Alerts: AlertOptions{
			Alertmanagers: []AlertmanagerSink{{}}, Webhooks: []WebhookSink{{}}, Slack: []SlackSink{{}},
			Syslog: []SyslogSink{{}}, Files: []FileSink{{}},
		},
		Response: ResponseOptions{Rules: []ResponseRule{{}}},
	}
}

func TestDetectionDefaults(t *testing.T) {
	o := oneSinkEach()
	o.setDefaults()
	o.setDataDir("/d")
	for _, s := range o.Alerts.severities() {
		if *s.value != SeverityInfo {
			t.Errorf("minSeverity of %s is %q", s.list, *s.value)
		}
	}
	switch {
	case o.DataDir != "/d/detect", !*o.Alerts.Events.Disabled, o.Alerts.Syslog[0].Network != SyslogTLS,
		o.Response.Mode != ResponseOff, o.Response.Duration.Duration != 15*time.Minute, o.Response.Rules[0].Create != RespondGuard:
		t.Errorf("got %+v", o)
	}
	off := DetectionOptions{Disabled: true}
	if off.setDataDir("/d"); off.DataDir != "" {
		t.Error("what is disabled has a folder")
	}
}

// TestDetectionUnderServe holds that serve has a folder for it wherever it has events.
func TestDetectionUnderServe(t *testing.T) {
	cfg := &ServeConfiguration{DataDir: "/d"}
	if err := SetDefaults(cfg, environment()); err != nil || cfg.Detection.DataDir != "/d/detect" {
		t.Errorf("got %v, %q", err, cfg.Detection.DataDir)
	}
	cfg = &ServeConfiguration{DataDir: "/d", Audit: AuditOptions{Store: AuditStoreOptions{Disabled: true}}}
	if err := SetDefaults(cfg, environment()); err != nil || cfg.Detection.DataDir != "" {
		t.Errorf("got %v, %q", err, cfg.Detection.DataDir)
	}
	attach := &AttachConfiguration{Audit: AttachAuditOptions{Store: AuditStoreOptions{DataDir: "/a"}}}
	if SetAttachDefaults(attach); attach.Detection.DataDir != "/a/detect" {
		t.Errorf("got %q", attach.Detection.DataDir)
	}
}

package v1alpha1

import (
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Of ResponseOptions.Mode.
const (
	ResponseOff     = "Off"
	ResponseDryRun  = "DryRun"
	ResponseEnforce = "Enforce"
)

// Of ResponseRule.Create.
const (
	RespondRevocation = "Revocation"
	RespondGuard      = "Guard"
)

// Of SyslogSink.Network.
const (
	SyslogUDP = "udp"
	SyslogTCP = "tcp"
	SyslogTLS = "tls"
)

// setDefaults fills in what both mounts have in common.
func (o *DetectionOptions) setDefaults() {
	setDefaultPointer(&o.Rules, []string{"*"})
	a := &o.Alerts
	setDefaultPointer(&a.GroupWait, metav1.Duration{})
	setDefaultPointer(&a.GroupInterval, metav1.Duration{Duration: 5 * time.Minute})
	setDefaultPointer(&a.RepeatInterval, metav1.Duration{Duration: 4 * time.Hour})
	setDefault(&a.RatePerMinute, 60)
	setDefault(&a.QueueSize, 10000)
	for _, s := range a.severities() {
		setDefault(s.value, SeverityInfo)
	}
	for i := range a.Syslog {
		setDefault(&a.Syslog[i].Network, SyslogTLS)
	}
	setDefaultPointer(&a.Events.Disabled, true)
	r := &o.Response
	setDefault(&r.Mode, ResponseOff)
	setDefaultPointer(&r.Duration, metav1.Duration{Duration: 15 * time.Minute})
	for i := range r.Rules {
		setDefault(&r.Rules[i].Create, RespondGuard)
	}
}

// setDataDir fills in the folder, below that of something else which may have none.
func (o *DetectionOptions) setDataDir(below string) {
	if !o.Disabled && below != "" {
		setDefault(&o.DataDir, filepath.Join(below, "detect"))
	}
}

// paths returns every field that names a file or a folder.
func (o *DetectionOptions) paths() []*string {
	all := []*string{&o.RulesDir, &o.DataDir}
	a := &o.Alerts
	for i := range a.Alertmanagers {
		all = append(all, &a.Alertmanagers[i].CAFile, &a.Alertmanagers[i].BearerTokenFile)
	}
	for i := range a.Webhooks {
		all = append(all, &a.Webhooks[i].SecretFile, &a.Webhooks[i].CAFile)
	}
	for i := range a.Slack {
		all = append(all, &a.Slack[i].URLFile, &a.Slack[i].CAFile)
	}
	for i := range a.Syslog {
		all = append(all, &a.Syslog[i].CAFile)
	}
	for i := range a.Files {
		all = append(all, &a.Files[i].Path)
	}
	return all
}

// sinkSeverity is the minSeverity of a sink, and where it stands.
type sinkSeverity struct {
	list  string
	index int // -1 where there is one alone
	value *DetectionSeverity
}

func (o *AlertOptions) severities() (all []sinkSeverity) {
	for i := range o.Alertmanagers {
		all = append(all, sinkSeverity{"alertmanagers", i, &o.Alertmanagers[i].MinSeverity})
	}
	for i := range o.Webhooks {
		all = append(all, sinkSeverity{"webhooks", i, &o.Webhooks[i].MinSeverity})
	}
	for i := range o.Slack {
		all = append(all, sinkSeverity{"slack", i, &o.Slack[i].MinSeverity})
	}
	for i := range o.Syslog {
		all = append(all, sinkSeverity{"syslog", i, &o.Syslog[i].MinSeverity})
	}
	for i := range o.Files {
		all = append(all, sinkSeverity{"files", i, &o.Files[i].MinSeverity})
	}
	return append(all, sinkSeverity{"events", -1, &o.Events.MinSeverity})
}

func (v *validator) detection(o *DetectionOptions, p *field.Path) {
	if o.Rules != nil {
		v.unique(*o.Rules, p.Child("rules"))
	}
	if o.RunbookBaseURL != "" {
		v.webURL(o.RunbookBaseURL, p.Child("runbookBaseURL"), "https://runbooks.example.com")
	}
	v.alerts(&o.Alerts, p.Child("alerts"))
	v.response(&o.Response, p.Child("response"))
}

func (v *validator) alerts(o *AlertOptions, p *field.Path) {
	for _, f := range []struct {
		name     string
		duration *metav1.Duration
		least    time.Duration
	}{{"groupWait", o.GroupWait, 0}, {"groupInterval", o.GroupInterval, time.Second}, {"repeatInterval", o.RepeatInterval, time.Minute}} {
		if d := f.duration; d != nil && d.Duration < f.least {
			v.add(field.Invalid(p.Child(f.name), d.Duration.String(), "want at least "+f.least.String()))
		}
	}
	for _, f := range []struct {
		name  string
		value int32
		most  int32
	}{{"ratePerMinute", o.RatePerMinute, 60000}, {"queueSize", o.QueueSize, 1000000}} {
		if f.value < 0 || f.value > f.most {
			v.add(field.Invalid(p.Child(f.name), f.value, "want a number from 1 to "+strconv.Itoa(int(f.most))))
		}
	}
	for _, s := range o.severities() {
		at := p.Child(s.list)
		if s.index >= 0 {
			at = at.Index(s.index)
		}
		v.oneOf(string(*s.value), at.Child("minSeverity"), string(SeverityInfo), string(SeverityLow), string(SeverityMedium), string(SeverityHigh), string(SeverityCritical))
	}
	v.sinks(o, p)
}

// sinks refuses a sink without an address, and one that is there twice: both would have
// the same queue.
func (v *validator) sinks(o *AlertOptions, p *field.Path) {
	seen := map[string]bool{}
	once := func(at *field.Path, kind, address, shown string) {
		if address != "" && seen[kind+" "+address] {
			v.add(field.Duplicate(at, shown))
		}
		seen[kind+" "+address] = true
	}
	for i, s := range o.Alertmanagers {
		at := p.Child("alertmanagers").Index(i).Child("url")
		v.webURL(s.URL, at, "https://alertmanager.example.com")
		once(at, "alertmanager", s.URL, withoutSecrets(s.URL))
	}
	for i, s := range o.Webhooks {
		at := p.Child("webhooks").Index(i)
		v.webURL(s.URL, at.Child("url"), "https://hooks.example.com/gatehouse")
		once(at.Child("url"), "webhook", s.URL, withoutSecrets(s.URL))
		if s.SecretFile == "" {
			v.add(field.Required(at.Child("secretFile"), "want the file with the key that alerts are signed with"))
		}
	}
	for i, s := range o.Slack {
		at := p.Child("slack").Index(i).Child("urlFile")
		if s.URLFile == "" {
			v.add(field.Required(at, "want the file with the URL, which is a secret"))
		}
		once(at, "slack", s.URLFile, s.URLFile)
	}
	for i, s := range o.Syslog {
		at := p.Child("syslog").Index(i)
		v.oneOf(s.Network, at.Child("network"), SyslogUDP, SyslogTCP, SyslogTLS)
		host, port, err := net.SplitHostPort(s.Address)
		if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 || !isHost(host) {
			v.add(field.Invalid(at.Child("address"), s.Address, "want HOST:PORT, such as syslog.example.com:6514"))
		}
		once(at.Child("address"), "syslog "+s.Network, s.Address, s.Address)
		if s.CAFile != "" && s.Network != "" && s.Network != SyslogTLS {
			v.add(field.Forbidden(at.Child("caFile"), "has no effect: the network is "+s.Network))
		}
	}
	for i, s := range o.Files {
		at := p.Child("files").Index(i).Child("path")
		if s.Path == "" {
			v.add(field.Required(at, "want the file that alerts are written to"))
		}
		once(at, "file", s.Path, s.Path)
	}
}

// webURL refuses what is no URL of a server, and one with a password in it.
func (v *validator) webURL(text string, p *field.Path, example string) {
	u, err := url.Parse(text)
	switch {
	case text == "":
		v.add(field.Required(p, "want a URL such as "+example))
	case err == nil && u.User != nil:
		v.add(field.Invalid(p, withoutSecrets(text), "must carry no user name or password"))
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Fragment != "":
		v.add(field.Invalid(p, withoutSecrets(text), "want a URL such as "+example))
	}
}

func (v *validator) response(o *ResponseOptions, p *field.Path) {
	v.oneOf(o.Mode, p.Child("mode"), ResponseOff, ResponseDryRun, ResponseEnforce)
	if d := o.Duration; d != nil && (d.Duration < time.Minute || d.Duration > 24*time.Hour) {
		v.add(field.Invalid(p.Child("duration"), d.Duration.String(), "want from 1m to 24h: it is for until somebody looks"))
	}
	seen := map[string]bool{}
	for i, r := range o.Rules {
		at := p.Child("rules").Index(i)
		switch {
		case r.Rule == "":
			v.add(field.Required(at.Child("rule"), "want the name of a rule"))
		case seen[r.Rule]:
			v.add(field.Duplicate(at.Child("rule"), r.Rule))
		}
		seen[r.Rule] = true
		v.oneOf(r.Create, at.Child("create"), RespondRevocation, RespondGuard)
	}
	if o.Mode != "" && o.Mode != ResponseOff && len(o.Rules) == 0 {
		v.add(field.Required(p.Child("rules"), "detection.response.mode is "+o.Mode+", and no rule is named"))
	}
}

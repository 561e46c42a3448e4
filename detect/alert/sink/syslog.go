package sink

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

const (
	// facility is 13, log audit.
	facility = 13
	// element is the name of the structured data. 32473 is the enterprise number that is
	// set aside for examples (RFC 5612): Gatehouse has none.
	element = "finding@32473"
	// largestDatagram is what a receiver should take by UDP (RFC 5426, section 3.2), and
	// largestFrame by a connection.
	largestDatagram = 2048
	largestFrame    = 8192
)

// severities are those of RFC 5424, table 2.
var severities = map[v1alpha1.DetectionSeverity]int{
	v1alpha1.SeverityCritical: 2, v1alpha1.SeverityHigh: 3, v1alpha1.SeverityMedium: 4, v1alpha1.SeverityLow: 5, v1alpha1.SeverityInfo: 6,
}

// parameter escapes what ends a parameter's value (RFC 5424, section 6.3.3).
var parameter = strings.NewReplacer(`"`, `\"`, `\`, `\\`, `]`, `\]`)

// format writes an Alert as RFC 5424, in at most so many bytes.
func format(a *alert.Alert, host string, most int) []byte {
	severity, ok := severities[a.Finding.Severity]
	if !ok || a.Status == alert.Resolved {
		severity = 6
	}
	head := fmt.Sprintf("<%d>1 %s %s gatehouse - finding ", facility*8+severity, a.At.UTC().Format("2006-01-02T15:04:05.000000Z"), header(host, 255))
	data := structured(parameters(a))
	if len(head)+len(data) > most-256 { // what is needed to find the rest
		data = structured(parameters(a)[:4])
	}
	text := head + data + " \ufeff" // a BOM: what follows is UTF-8
	return []byte(text + cut(plain(a.Finding.Title, shortText)+": "+sentence(a), max(0, most-len(text))))
}

func parameters(a *alert.Alert) []fact {
	f := &a.Finding
	all := []fact{{"id", a.ID}, {"status", string(a.Status)}, {"rule", f.Rule}, {"fingerprint", f.Fingerprint},
		{"severity", string(f.Severity)}, {"cause", string(a.Cause)}, {"count", strconv.FormatInt(f.Count, 10)},
		{"first", f.First.UTC().Format(time.RFC3339)}, {"last", f.Last.UTC().Format(time.RFC3339)}}
	for _, optional := range []fact{{"cluster", a.Cluster}, {"user", f.Subject.User}, {"as", f.Subject.As}, {"address", f.Subject.Address},
		{"object", object(f.Object)}, {"namespace", f.Object.Namespace}, {"runbook", a.RunbookURL}, {"muted", f.Muted}} {
		if optional.text != "" {
			all = append(all, optional)
		}
	}
	return all
}

func structured(all []fact) string {
	var b strings.Builder
	b.WriteString("[" + element)
	for _, f := range all {
		fmt.Fprintf(&b, ` %s="%s"`, f.name, parameter.Replace(plain(f.text, shortText)))
	}
	return b.String() + "]"
}

// header is a text as fields of the header have it: printable ASCII without spaces.
func header(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text[:min(len(text), most)]
}

package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// slack is a sink: an incoming webhook of Slack, or of what reads its JSON.
type slack struct {
	settings v1alpha1.SlackSink
	client   *client
}

func (s *slack) Traits() alert.Traits {
	return alert.Traits{Type: "slack", Name: s.settings.URLFile, Batch: 20, Least: s.settings.MinSeverity}
}

func (s *slack) Send(ctx context.Context, alerts []alert.Alert) error {
	address, err := slackURL(s.settings.URLFile)
	if err != nil {
		return err
	}
	body, err := json.Marshal(slackMessageOf(alerts))
	if err != nil {
		return fmt.Errorf("write alerts: %w", err)
	}
	return s.client.post(ctx, address, body, nil)
}

// slackURL reads the URL, which is in no error.
func slackURL(file string) (string, error) {
	text, err := secret(file)
	if err != nil {
		return "", err
	}
	if u, err := url.Parse(text); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(text, " \n\r\t") {
		return "", errors.New("read secret: " + file + " does not hold one URL")
	}
	return text, nil
}

type slackMessage struct {
	Text        string            `json:"text"`
	Attachments []slackAttachment `json:"attachments"`
	UnfurlLinks bool              `json:"unfurl_links"`
}

type slackAttachment struct {
	Color     string       `json:"color"`
	Fallback  string       `json:"fallback"`
	Title     string       `json:"title"`
	TitleLink string       `json:"title_link,omitempty"`
	Text      string       `json:"text"`
	Fields    []slackField `json:"fields,omitempty"`
	MarkIn    []string     `json:"mrkdwn_in"`
}

type slackField struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

// entities are all that Slack reads in a text besides its marks.
var entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// quoted shows a text that clients wrote: in a code span, where no mark, mention or link
// has a meaning, and which it cannot end.
func quoted(text string) string {
	text = strings.ReplaceAll(text, "`", "'")
	if strings.TrimSpace(text) == "" {
		return ""
	}
	return "`" + entities.Replace(text) + "`"
}

var slackColors = map[v1alpha1.DetectionSeverity]string{
	v1alpha1.SeverityCritical: "#7b1fa2", v1alpha1.SeverityHigh: "#d32f2f", v1alpha1.SeverityMedium: "#f57c00",
	v1alpha1.SeverityLow: "#fbc02d", v1alpha1.SeverityInfo: "#0288d1",
}

// slackMessageOf has an attachment for each rule, and status: what a rule found goes
// together.
func slackMessageOf(alerts []alert.Alert) slackMessage {
	var groups [][]*alert.Alert
	for i := range alerts {
		a := &alerts[i]
		same := func(g []*alert.Alert) bool {
			return g[0].Finding.Rule == a.Finding.Rule && g[0].Status == a.Status
		}
		if n := slices.IndexFunc(groups, same); n >= 0 {
			groups[n] = append(groups[n], a)
			continue
		}
		groups = append(groups, []*alert.Alert{a})
	}
	var m slackMessage
	var heads []string
	for _, g := range groups {
		at := slackAttachmentOf(g)
		heads = append(heads, at.Fallback)
		m.Attachments = append(m.Attachments, at)
	}
	m.Text = cut(strings.Join(heads, "\n"), 3000)
	return m
}

func slackAttachmentOf(group []*alert.Alert) slackAttachment {
	first := group[0]
	title := entities.Replace(plain(first.Finding.Title, shortText))
	word := string(first.Finding.Severity)
	at := slackAttachment{Color: slackColors[first.Finding.Severity], TitleLink: first.RunbookURL, MarkIn: []string{"text", "fields"}}
	if first.Status == alert.Resolved {
		at.Color, word = "#388e3c", string(first.Cause)
	}
	at.Title = title
	at.Fallback = fmt.Sprintf("[%s] %s", entities.Replace(plain(word, shortText)), title)
	if first.Cluster != "" {
		at.Fallback += " on " + entities.Replace(plain(first.Cluster, shortText))
	}
	if len(group) > 1 {
		at.Fallback += fmt.Sprintf(" (%d findings)", len(group))
		var lines []string
		for _, a := range group {
			lines = append(lines, fmt.Sprintf("• %s ×%d %s", quoted(cut(sentence(a), 300)), a.Finding.Count, quoted(plain(a.Finding.Fingerprint, shortText))))
		}
		at.Text = strings.Join(lines, "\n")
		return at
	}
	at.Text = quoted(sentence(first))
	for _, f := range append(facts(first), fact{"rule", plain(first.Finding.Rule, shortText)}, fact{"fingerprint", plain(first.Finding.Fingerprint, shortText)}) {
		var lines []string
		for line := range strings.SplitSeq(f.text, "\n") {
			lines = append(lines, quoted(line))
		}
		value := strings.Join(lines, "\n")
		at.Fields = append(at.Fields, slackField{strings.ReplaceAll(f.name, "_", " "), value, len(value) < 40 && len(lines) == 1})
	}
	return at
}

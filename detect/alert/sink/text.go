package sink

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/alert"
	"github.com/gatehouse-io/gatehouse/gate"
)

// plain is a text without what would steer whoever reads it, of at most so many bytes.
func plain(text string, most int) string { return cut(gate.Plain(text), most) }

// jsonText is JSON in which what would steer a terminal, or hide, is escaped.
func jsonText(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, r := range string(text) {
		if r >= 0x7f && r < 0x10000 && gate.Plain(string(r)) != string(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return out, nil
}

// cut cuts a text at a character.
func cut(text string, most int) string {
	const mark = "…"
	if len(text) <= most {
		return text
	}
	end := max(0, most-len(mark))
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

// fact is something about a Finding, for whoever reads it.
type fact struct{ name, text string }

const (
	// shortText bounds a name, and longText a list.
	shortText = 256
	longText  = 2048
	// messageText bounds the sentence.
	messageText = 1024
)

// facts are what is known, in the order that somebody asks for it; what is not known is
// left out. All is plain, but for line ends between the items of lists.
func facts(a *alert.Alert) (all []fact) {
	f := &a.Finding
	add := func(name, text string, most int) {
		if text != "" {
			all = append(all, fact{name, plain(text, most)})
		}
	}
	list := func(name string, items []string, more int) {
		if more > 0 {
			items = append(items, fmt.Sprintf("and %d more", more))
		}
		if len(items) == 0 {
			return
		}
		for i := range items {
			items[i] = plain(items[i], shortText)
		}
		all = append(all, fact{name, cut(strings.Join(items, "\n"), longText)})
	}
	add("user", f.Subject.User, shortText)
	add("as", f.Subject.As, shortText)
	if b := f.Began; b != nil {
		add("began", fmt.Sprintf("%s (%s)", b.User, b.Certainty), shortText)
	}
	add("address", f.Subject.Address, shortText)
	add("user_agent", f.Subject.UserAgent, shortText)
	add("object", object(f.Object), shortText)
	add("namespace", f.Object.Namespace, shortText)
	add("count", strconv.FormatInt(f.Count, 10), shortText)
	add("first_seen", stamp(f.First), shortText)
	add("last_seen", stamp(f.Last), shortText)
	add("attack", strings.Join(f.Attack.Techniques, " "), shortText)
	add("response", f.Response, messageText)
	add("muted", f.Muted, shortText)
	const shownEvents = 20
	list("events", append([]string(nil), f.Events[:min(len(f.Events), shownEvents)]...), max(0, len(f.Events)-shownEvents))
	list("related", related(a.Context.Related), a.Context.RelatedMore)
	if r := a.Context.Reach; r != nil {
		can := append([]string(nil), r.Can...)
		if r.Incomplete {
			can = append(can, "perhaps more: not all could be evaluated")
		}
		list("reach", can, r.More)
		add("reach_of", r.Identity, shortText)
	}
	list("unknown", append([]string(nil), a.Context.Problems...), 0)
	return all
}

func related(all []alert.Related) (lines []string) {
	for _, r := range all {
		line := stamp(r.At) + " " + r.User + " " + object(r.Object)
		if r.Code != 0 {
			line += " " + strconv.Itoa(r.Code)
		}
		lines = append(lines, line)
	}
	return lines
}

// object is "get secrets.core shop/db", or a path.
func object(o detect.Object) string {
	if o.Path != "" {
		return strings.TrimSpace(o.Verb + " " + o.Path)
	}
	resource := o.Resource
	if o.Subresource != "" {
		resource += "/" + o.Subresource
	}
	if o.APIGroup != "" {
		resource += "." + o.APIGroup
	}
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	return strings.TrimSpace(o.Verb + " " + resource + " " + name)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// sentence is what happened.
func sentence(a *alert.Alert) string {
	if a.Finding.Message == "" {
		return plain(a.Finding.Title, messageText)
	}
	return plain(a.Finding.Message, messageText)
}

package redact

import (
	"strings"

	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
)

// gzippedTwice is how a compressed manifest begins that is base64 once more, as Helm's
// releases are.
const gzippedTwice = "SDRzS"

// setting redacts one entry of a ConfigMap, by the name of its key and, where it is a
// file of settings, by the names in it.
func (w *walk) setting(n jsondoc.Node, key string) {
	switch {
	case w.doc.Kind(n) != jsondoc.String:
		w.gone(n, whyCredential)
		return
	case namesSetting(key):
		w.gone(n, whyCredential)
		return
	}
	text := string(w.doc.Text(n))
	switch {
	case IsMarker(text):
	case strings.HasPrefix(text, gzipped), strings.HasPrefix(text, gzippedTwice), !embedded(text) && holdsManifest(text):
		w.gone(n, whyEmbedded) // a release of Helm's, or a Secret's manifest
	case embedded(text):
		if is := w.embedded(text, plain); is != whyEmbedded {
			w.replace(n, text, is)
			return
		}
		fallthrough // a template, say
	default:
		w.replace(n, text, lines(text))
	}
}

// lines redacts a file of settings: what stands behind a name like a credential's and a
// colon or an equals sign, and the block below it.
func lines(text string) string {
	text = privateKeys(text)
	var out strings.Builder
	block := -1 // how far a line was indented whose block goes
	for line := range strings.Lines(text) {
		body := strings.TrimRight(line, "\r\n")
		end := line[len(body):]
		indent := len(body) - len(strings.TrimLeft(body, " \t"))
		if block >= 0 {
			if strings.TrimSpace(body) == "" || indent > block {
				continue
			}
			block = -1
		}
		at := credentialAt(body)
		if at < 0 {
			out.WriteString(line)
			continue
		}
		value := strings.Trim(body[at+1:], " \t")
		switch {
		case strings.Trim(value, "|>-+0123456789") == "" && strings.ContainsAny(value, "|>"), value == "":
			block = indent
			out.WriteString(body[:at+1] + " " + whyCredential + end)
		case IsMarker(value):
			out.WriteString(line)
		default:
			out.WriteString(body[:at+1] + " " + whyCredential + end)
		}
	}
	return scrub(out.String())
}

// credentialAt is where in a line a colon or an equals sign stands behind a name like a
// credential's; -1 for nowhere.
func credentialAt(line string) int {
	for at := 0; at < len(line); at++ {
		if line[at] != ':' && line[at] != '=' {
			continue
		}
		name := strings.TrimRight(line[:at], " \t\"'\\")
		name = name[strings.LastIndexAny(name, " \t\"',{[(&;?\\")+1:]
		if namesSetting(name) && !strings.HasPrefix(line[at+1:], "//") {
			return at
		}
	}
	return -1
}

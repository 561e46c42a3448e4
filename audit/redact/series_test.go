package redact

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
)

// A Series says of every event what its Redactor says, however events share annotations.
func TestASeriesRedactsAsItsRedactor(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := redactor()
	s := r.Series()
	agents := []string{"", "curl/8", "kubectl/v1.37.2 (linux/amd64)", "x Bearer " + planted, webToken, strings.Repeat("a ", longestAgent)}
	var notes []map[string]string
	for i := range 50 {
		notes = append(notes, map[string]string{
			audit.AnnotationReason:               fmt.Sprint("RBAC: allowed by ", i, " ", agents[i%len(agents)]),
			"patch.webhook.admission.k8s.io/r_0": secretObject("") + strings.Repeat(" ", i),
			"x/y":                                strings.Repeat("a word ", i),
		})
	}
	notes = append(notes, nil, map[string]string{})
	before := fmt.Sprint(notes)
	for n := range 5000 {
		e := event([]string{"get", "patch"}[random.IntN(2)], []string{"secrets", "pods", "configmaps", "serviceaccounts/token", "oauthaccesstokens"}[random.IntN(5)], "", "")
		e.UserAgent, e.Annotations = agents[random.IntN(len(agents))], notes[random.IntN(len(notes))]
		if n%100 == 0 {
			e.UserAgent = fmt.Sprint("agent ", n)
		}
		want := *e
		r.Event(&want)
		if s.Event(e); !reflect.DeepEqual(e, &want) {
			t.Fatalf("%+v, want %+v", e, &want)
		}
	}
	if after := fmt.Sprint(notes); after != before {
		t.Errorf("annotations that events share were changed: %s", after)
	}
}

func TestWhatASeriesRemembersIsBounded(t *testing.T) {
	s := redactor().Series()
	for n := range 3 * mostRemembered {
		e := event("get", "pods", "", "")
		e.UserAgent, e.Annotations = fmt.Sprint("agent ", n), map[string]string{"a": "b"}
		s.Event(e)
	}
	if len(s.clean) > mostRemembered || len(s.notes) > mostRemembered {
		t.Errorf("%d agents, %d annotations", len(s.clean), len(s.notes))
	}
}

// scrubWhole is scrub without what it skips: each rule looks at every text.
func scrubWhole(text string) string {
	if len(text) < 8 {
		return text
	}
	text = bootstrapTokens(webTokens(privateKeys(text)))
	for _, word := range []string{"earer ", "asic "} {
		for from := 0; ; {
			at := -1
			for i := from; i+len(word) <= len(text) && at < 0; i++ {
				if strings.EqualFold(text[i:i+len(word)], word) {
					at = i
				}
			}
			if at < 0 {
				break
			}
			begin := at + len(word)
			end := begin
			for end < len(text) && !strings.ContainsRune(" \"',\n", rune(text[end])) {
				end++
			}
			from = end
			if end-begin >= 12 && !IsMarker(text[begin:end]) {
				text = text[:begin] + whyToken + text[end:]
				from = begin + len(whyToken)
			}
		}
	}
	return userInfo(text)
}

func FuzzScrub(f *testing.F) {
	for _, text := range []string{"Bearer abcdefghijklmnop", "BASIC " + planted, "bea\u017fer x", webToken, pem, bootstrap, "https://a:b@c/d", "PRIVATE KEY", "b\xffr abcdefghijklmnopq", plantedBase64} {
		f.Add(text)
		f.Add("x " + text + " y")
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := scrub(text), scrubWhole(text); got != want {
			t.Errorf("%q becomes %q, and by every rule %q", text, got, want)
		}
	})
}

// uriWhole is uri without what it skips.
func uriWhole(r *Redactor, uri string) string {
	path, query, asked := strings.Cut(uri, "?")
	whole := path
	if strings.Contains(path, "/proxy") || strings.ContainsAny(path, "@%") || strings.Contains(path, "eyJ") || strings.Contains(path, "://") {
		whole = r.segments(path)
	}
	if !asked {
		return whole
	}
	run := strings.Contains(path, "/proxy/") || strings.HasSuffix(path, "/proxy") || strings.HasSuffix(path, "/exec") || strings.HasSuffix(path, "/attach")
	whole += "?"
	for {
		at := strings.IndexAny(query, "&;#")
		if at < 0 {
			return whole + pairWhole(r, query, run)
		}
		whole += pairWhole(r, query[:at], run) + query[at:at+1]
		query = query[at+1:]
	}
}

func pairWhole(r *Redactor, pair string, run bool) string {
	name, value, ok := strings.Cut(pair, "=")
	if plain, err := url.QueryUnescape(name); ok && err == nil && isUsual(name) && (namesParameter(plain) || strings.EqualFold(plain, "command")) {
		return "a usual parameter that names a credential"
	}
	if plain, err := url.QueryUnescape(value); ok && isUsual(name) && value != "" && !IsMarker(value) {
		if err != nil {
			plain = value
		}
		switch clean := scrubWhole(plain); {
		case clean == plain:
			return pair
		case IsMarker(clean):
			return name + "=" + clean
		default:
			return name + "=" + url.QueryEscape(clean)
		}
	}
	return r.pair(pair, run)
}

func FuzzURI(f *testing.F) {
	for _, uri := range []string{
		"/api/v1/pods?limit=500&resourceVersion=0", "/api/v1/namespaces/a/pods/b/exec?command=" + planted + "&container=c", "/x/" + webToken + "?watch=true;token=" + planted,
		"/api/v1/nodes/n/proxy/run/a/b?cmd=" + planted, "/a/https://u:p@h/x", "/a%2f@b?fieldSelector=a%3D" + webToken, "/a?labelSelector=Bearer+abcdefghijklmnopq", "/x?%zz=1&limit=%zz",
	} {
		f.Add(uri)
	}
	r := redactor()
	f.Fuzz(func(t *testing.T, uri string) {
		if got, want := r.uri(uri), uriWhole(r, uri); got != want {
			t.Errorf("%q becomes %q, and without a shortcut %q", uri, got, want)
		}
	})
}

package scan

import (
	"context"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// nobody asks: no policy may take an object for somebody's.
var nobody = &user.DefaultInfo{}

// request is the creation of an object that exists. Policies that ask for its fields by
// their names get them made when the first of them asks.
func (s *Scanner) request(o Item, of Resource) *policy.Request {
	namespace := o.GetNamespace()
	if of.Kind.Group == "" && of.Kind.Kind == "Namespace" {
		namespace = o.GetName()
	}
	r := policy.NewRequest(admission.NewAttributesRecord(o, nil, of.Kind, namespace, o.GetName(), of.GroupVersionResource, "", admission.Create, &metav1.CreateOptions{}, true, nobody),
		func(o runtime.Object) (*unstructured.Unstructured, error) { return contentOf(o, of.Kind) }, s.opts.Cluster)
	r.Authorizer, r.Background = s.opts.Authorizer, true
	if _, ok := o.(*unstructured.Unstructured); !ok {
		r.Objects = s.opts.Objects
	}
	return r
}

// judge asks every policy in force about an object.
func (s *Scanner) judge(ctx context.Context, o Item, of Resource) *Report {
	began := s.opts.Clock.Now()
	r := s.request(o, of)
	report := &Report{UID: o.GetUID(), Kind: of.Kind, Namespace: s.texts.one(o.GetNamespace()), Name: o.GetName(), ResourceVersion: o.GetResourceVersion(), Judged: began}
	for _, set := range s.sets() {
		out := set.Validate(ctx, r)
		spoke := map[policy.Policy]bool{}
		// A result with several actions is in several lists: the worst counts.
		seen := map[Finding]bool{}
		add := func(v Verdict, all []policy.Said) {
			for i := range all {
				said := &all[i]
				spoke[said.By] = true
				finding := s.findingOf(v, said)
				if said.Err != nil && v != Skip {
					finding.Verdict = Error
				}
				known := finding
				known.Verdict = 0
				if !seen[known] {
					seen[known] = true
					report.Findings = append(report.Findings, finding)
				}
			}
		}
		add(Fail, out.Denials)
		add(Error, out.Ignored)
		add(Warn, out.Warnings)
		add(Warn, out.Audits)
		add(Skip, out.Excepted)
		report.Passed += max(0, out.Asked-len(spoke))
	}
	// The worst come first, and a policy may find something in every line of an object.
	report.Findings = slices.Clip(report.Findings[:min(len(report.Findings), mostFindings)])
	s.counts.judged(s.opts.Clock.Since(began))
	return report
}

// mostMessage is how long a message that is kept may be, in bytes.
const mostMessage = 1 << 10

// mostFindings is how many findings of one object are kept.
const mostFindings = 200

func (s *Scanner) findingOf(v Verdict, said *policy.Said) Finding {
	sources := said.Sources
	if len(sources) == 0 {
		sources = []gate.Source{said.By.Source()}
	}
	first := sources[0]
	rule := Rule{Policy: first.Name, Part: first.Part, Kind: first.Kind, Namespace: first.Namespace}
	if strings.HasSuffix(first.Kind, "Binding") && len(sources) > 1 {
		rule = Rule{Policy: sources[1].Name, Part: sources[1].Part, Kind: sources[1].Kind, Namespace: sources[1].Namespace, Binding: first.Name}
	}
	var actions []string
	for _, a := range said.Actions {
		actions = append(actions, string(a))
	}
	slices.Sort(actions)
	rule.Actions = strings.Join(slices.Compact(actions), ",")
	if said.Exception != nil {
		rule.Exception = said.Exception.Source.Name
	}
	message := said.Message
	if message == "" && said.Err != nil {
		message = "it could not be evaluated: " + said.Err.Error()
	}
	return NewFinding(v, rule, s.texts.one(clip(message, mostMessage)), s.texts.one(clip(said.Path, mostMessage/4)))
}

// clip shortens a text that may be of any length, and takes out what a terminal would
// obey.
func clip(text string, n int) string {
	if len(text) > n {
		text = strings.ToValidUTF8(text[:n], "") + "…"
	}
	return gate.Plain(text)
}

// texts has many objects share what the same is said of. It is safe for concurrent
// use.
type texts struct {
	mu   sync.Mutex
	seen map[string]string
}

// mostTexts is how many are remembered; then they are forgotten all at once.
const mostTexts = 4096

func (t *texts) one(text string) string {
	if text == "" {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if same, ok := t.seen[text]; ok {
		return same
	}
	if len(t.seen) >= mostTexts || t.seen == nil {
		t.seen = map[string]string{}
	}
	text = strings.Clone(text)
	t.seen[text] = text
	return text
}

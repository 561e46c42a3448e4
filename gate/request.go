package gate

import "slices"

// Request is one request as the gates after authentication see it. It is a
// request for a resource, or, where Path is set, for a path.
type Request struct {
	User   string
	UID    string
	Groups []string
	Extra  map[string][]string

	Verb        string // get, list, create …; for a path the HTTP method in small letters
	Group       string // of the API; empty for the core group
	Version     string
	Resource    string // pods
	Subresource string // log
	Namespace   string // empty for all namespaces, or for what is in none
	Name        string

	Path string // /healthz

	FieldSelector string
	LabelSelector string
}

// Object is "pods/log api-1 in namespace shop", the request without who and what.
func (r *Request) Object() string {
	if r.Path != "" {
		return r.Path
	}
	text := r.Resource
	if r.Group != "" {
		text += "." + r.Group
	}
	if r.Subresource != "" {
		text += "/" + r.Subresource
	}
	if r.Name != "" {
		text += " " + r.Name
	}
	if r.Namespace != "" {
		text += " in namespace " + r.Namespace
	}
	return text
}

// Trace is a request, what each part of each gate made of it, and the verdict.
type Trace struct {
	Request Request
	Verdict Verdict
	Steps   []Step
}

// Decide sets the verdict that the steps come to: in each gate in turn the first
// step that allows or denies decides, and a gate where none does denies, as
// kube-apiserver does. order names the gates that must allow.
func (t *Trace) Decide(order ...string) {
	for _, name := range order {
		at := slices.IndexFunc(t.Steps, func(s Step) bool {
			return s.Gate == name && (s.Opinion == Allow || s.Opinion == Deny)
		})
		if at < 0 {
			t.Verdict = Verdict{Opinion: Deny, Reason: "no part of " + name + " allows it"}
			return
		}
		step := &t.Steps[at]
		t.Verdict = Verdict{Opinion: step.Opinion, Reason: step.Reason, By: step}
		if step.Opinion == Deny {
			return
		}
	}
}

package gate

import (
	"strconv"
	"time"
)

// Opinion is what a part of a gate thinks of a request.
type Opinion string

const (
	Allow     Opinion = "allow"      // lets the request pass, and asks no further part of this gate
	Deny      Opinion = "deny"       // refuses the request, whatever others say
	NoOpinion Opinion = "no opinion" // leaves it to the parts after this one; where all do, the request is refused
	Mutate    Opinion = "mutate"     // changed the object
	Warn      Opinion = "warn"       // lets the request pass, and tells the client something
)

// Verdict is what became of a request.
type Verdict struct {
	Opinion Opinion // Allow or Deny
	// Reason is one sentence, or empty for an allowed request nobody explained.
	Reason string
	// By is the step that decided; nil where every part had no opinion.
	By *Step
}

// Source is what said something: an object of the cluster, or a place in a file.
// An object that was read from a file has both.
type Source struct {
	Kind      string `json:"kind,omitempty"` // RoleBinding
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// Part is the part of it: rules[2].
	Part string `json:"part,omitempty"`

	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // from 1; 0 where it is not known
}

// String is "RoleBinding shop/devs", "ClusterRole view rules[2]" or
// "policy.jsonl:3". The text is as the object has it and may hold anything:
// Print and the like escape it.
func (s Source) String() string {
	text := s.Kind
	if s.Name != "" {
		text += " "
		if s.Namespace != "" {
			text += s.Namespace + "/"
		}
		text += s.Name
	}
	if s.Part != "" {
		text += " " + s.Part
	}
	if s.File != "" && s.Kind != "" {
		text += " (" + s.Place() + ")"
	} else if s.File != "" {
		text = s.Place() + text
	}
	return text
}

// Place is FILE:LINE, or FILE where the line is not known.
func (s Source) Place() string {
	if s.Line == 0 {
		return s.File
	}
	return s.File + ":" + strconv.Itoa(s.Line)
}

// Miss is something that nearly allowed a request, and what it lacks.
type Miss struct {
	Sources []Source `json:"sources"` // the binding, then the role and its rule
	Lacks   string   `json:"lacks"`   // "verb delete", "namespace kube-system"
}

// Step is what one part of one gate made of a request.
type Step struct {
	Gate    string  // authentication, authorization, admission
	Part    string  // RBAC, Node, Guard, the name of a webhook
	Opinion Opinion //
	Reason  string  // one sentence
	// Sources said so, the most specific first: the binding, then the role's rule.
	Sources []Source
	// Misses are the nearest ones to an allow, the nearest first; at most a few.
	Misses []Miss
	// Patch is the RFC 6902 patch of a step that changed the object.
	Patch []byte
	Took  time.Duration
}

// Finding is what a gate makes of a file or an object that nobody requested.
type Finding struct {
	Step
	At     Source
	Column int // from 1; 0 where it is not known
}

package check

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/check/manifest"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Finding is one thing that a gate has to say of an object of a manifest.
type Finding struct {
	// Rule is the policy by its kind and name, or what else found it: "RBAC", "schema".
	Rule string
	// Source is the policy, with its file and line where it was read from one.
	Source gate.Source
	// Action is what an API server would do.
	Action policy.Action
	// Message is the policy's sentence, and may hold what the object says.
	Message string
	// Object it is about, and the field of it; Path is empty for the whole object.
	Object *manifest.Object
	Path   string
	// Position is where that is written.
	Position manifest.Position
	// Failed says that the policy could not be evaluated.
	Failed bool
	// Hidden says that what is written there may be a secret.
	Hidden bool
	// Exception let it through; nil for none. Such a finding is told, and counts for
	// nothing.
	Exception *policy.Exception
	// Fix is an RFC 6902 patch that the policy states, of the object as an API server has
	// it; nil for none.
	Fix []byte
	// Mend is what all patches of the object make of its file; nil where Fix is, where an
	// Exception lets it through, and where RunOptions.Fix is not set.
	Mend *Mend
	// Wanted is what this patch alone would make of the file; nil where that is not known.
	Wanted map[string]any
	// Mends says that the finding is gone once Mend is made, and Unmended why its patch
	// is no part of that.
	Mends    bool
	Unmended string

	// changes says that it tells of what mutators do.
	changes bool
}

// RunOptions say what is checked.
type RunOptions struct {
	// Paths are those of the manifests; see package manifest.
	Paths    []string
	Manifest manifest.Options
	// Judge judges the objects. Needed.
	Judge *Judge
	// Namespace is that of objects which need one and name none. Default: "default".
	Namespace string
	// User creates the objects. Default: nobody in particular.
	User user.Info
	// Authorize asks the Judge's authorizers whether the user may create each object.
	Authorize bool
	// Mutations tells of objects that mutators would change.
	Mutations bool
	// Fix works out what the patches that policies state make of the files.
	Fix bool
	// Before is asked about each object before the policies are; nil for nobody.
	Before func(*manifest.Object) []Finding
	// Skip leaves objects out: the policies themselves. Default: none.
	Skip func(schema.GroupKind) bool
	// Skipped is asked about each object that is left out; nil for nobody.
	Skipped func(*manifest.Object) []Finding
	// Progress is told how many objects have been checked, after each of them.
	Progress func(objects int)
}

// Summary is what was checked.
type Summary struct {
	manifest.Summary
	// Checked is how many objects were judged, and Skipped how many were left out.
	Checked, Skipped int
}

// Run judges every object of the paths, and hands its findings to take, which is
// called by one goroutine at a time. Objects are let go of one after the other. What
// cannot be read is a v1alpha1.FieldErrorList, after everything else has been judged.
func Run(ctx context.Context, opts RunOptions, take func(Finding)) (Summary, error) {
	if opts.Namespace == "" {
		opts.Namespace = "default"
	}
	var s Summary
	var mu sync.Mutex
	read, err := manifest.Read(ctx, opts.Paths, opts.Manifest, func(o *manifest.Object) error {
		if opts.Skip != nil && opts.Skip(o.GroupVersionKind().GroupKind()) {
			var found []Finding
			if opts.Skipped != nil {
				found = opts.Skipped(o)
			}
			mu.Lock()
			defer mu.Unlock()
			s.Skipped++
			for _, f := range found {
				take(f)
			}
			return ctx.Err()
		}
		found := opts.one(ctx, o)
		mu.Lock()
		defer mu.Unlock()
		for _, f := range found {
			take(f)
		}
		if s.Checked++; opts.Progress != nil {
			opts.Progress(s.Checked)
		}
		return ctx.Err()
	})
	s.Summary = read
	return s, err
}

// one is every finding of an object.
func (o *RunOptions) one(ctx context.Context, object *manifest.Object) (found []Finding) {
	if o.Before != nil {
		found = o.Before(object)
	}
	add := func(f Finding) {
		f.Object = object
		if f.Position.File == "" {
			f.Position = object.Position(f.Path)
		}
		found = append(found, f)
	}
	q := o.Judge.Creation(&object.Unstructured, o.Namespace)
	q.User = o.User
	if o.Authorize {
		spec := &v1alpha1.RequestReviewSpec{ResourceAttributes: q.Review("create")}
		if o.User != nil {
			spec.User, spec.Groups = o.User.GetName(), o.User.GetGroups()
		}
		spec.ResourceAttributes.Name = "" // it stands in the body, which no authorizer sees
		trace, err := o.Judge.opts.Chain.Request(ctx, spec)
		switch {
		case err != nil:
			add(Finding{Rule: "authorization", Action: policy.Deny, Message: err.Error(), Failed: true})
		case trace.Verdict.Opinion != gate.Allow:
			message := trace.Verdict.Reason
			if message == "" {
				message = "nothing allows " + spec.User + " to create it"
			}
			add(Finding{Rule: "authorization", Action: policy.Deny, Message: message})
		}
	}
	verdict, err := o.Judge.Judge(ctx, q, o.Mutations)
	if err != nil {
		add(Finding{Rule: "object", Action: policy.Deny, Message: err.Error(), Failed: true})
		return found
	}
	for _, f := range verdict.said() {
		add(f)
	}
	if o.Mutations && verdict.Mutated.Changed && len(verdict.Mutated.Denials) == 0 {
		add(Finding{Rule: "mutation", Message: "changed by " + mutators(verdict.Trace) + " when it is created", Fix: policy.Patch(verdict.Given.Object, verdict.Object.Object), changes: true})
	}
	if o.Fix {
		o.mend(ctx, object, q, verdict, found)
	}
	return found
}

// said is everything that policies have to say, without the object.
func (v *Verdict) said() (found []Finding) {
	for _, outcome := range []*policy.Outcome{v.Mutated, v.Validated} {
		for _, list := range []struct {
			action policy.Action
			said   []policy.Said
		}{{policy.Deny, outcome.Denials}, {policy.Warn, outcome.Warnings}, {policy.Audit, outcome.Audits}, {"", outcome.Excepted}} {
			for i := range list.said {
				found = append(found, findingOf(&list.said[i], list.action))
			}
		}
	}
	return found
}

func findingOf(s *policy.Said, action policy.Action) Finding {
	source := s.By.Source()
	if len(s.Sources) > 0 {
		source = s.Sources[0]
	}
	name := source
	name.File, name.Line = "", 0
	f := Finding{Rule: name.String(), Source: source, Action: action, Message: s.Message, Path: s.Path, Failed: s.Err != nil, Hidden: s.Hidden, Exception: s.Exception, Fix: s.Fix}
	if f.Message == "" && s.Err != nil {
		f.Message = "it could not be evaluated: " + s.Err.Error()
	}
	return f
}

// Collect reads the objects of paths that are wanted, whole: policies, Namespaces,
// what policies look up.
func Collect(ctx context.Context, paths []string, opts manifest.Options, want func(schema.GroupKind) bool) ([]policy.Object, error) {
	var mu sync.Mutex
	var all []policy.Object
	if opts.Workers == 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	_, err := manifest.Read(ctx, paths, opts, func(o *manifest.Object) error {
		if !want(o.GroupVersionKind().GroupKind()) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, policy.Object{Unstructured: &o.Unstructured, Source: o.Source})
		return nil
	})
	slices.SortStableFunc(all, func(a, b policy.Object) int {
		return cmp.Or(cmp.Compare(a.Source.File, b.Source.File), cmp.Compare(a.Source.Line, b.Source.Line))
	})
	return all, err
}

// Unreadable reports whether an error says that input cannot be read, rather than
// that the work was interrupted.
func Unreadable(err error) bool {
	list := v1alpha1.FieldErrorList{}
	return errors.As(err, &list)
}

// Plain are the objects without where they were read.
func Plain(objects []policy.Object) []*unstructured.Unstructured {
	all := make([]*unstructured.Unstructured, len(objects))
	for i := range objects {
		all[i] = objects[i].Unstructured
	}
	return all
}

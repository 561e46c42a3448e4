package policy

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/glob"
)

// Exceptions are those in force or expired, compiled. The zero value, and nil, has
// none.
type Exceptions struct{ all []*Exception }

// Exception is one, compiled.
type Exception struct {
	Spec   *v1alpha1.ExceptionSpec
	Source gate.Source

	namespaces, objects labels.Selector // nil matches everything

	lastUsed atomic.Int64 // Unix seconds; 0: never, since the process began
}

// NewException compiles one.
func NewException(e *v1alpha1.Exception, source gate.Source) (*Exception, error) {
	x := &Exception{Spec: e.Spec.DeepCopy(), Source: source}
	spec := x.Spec
	switch {
	case len(spec.Policies) == 0:
		return nil, errors.New("spec.policies: name a policy")
	case slices.ContainsFunc(spec.Policies, func(p v1alpha1.ExceptedPolicy) bool { return p.Name == "" }):
		return nil, errors.New("spec.policies: a name is missing")
	case spec.Match == nil && spec.Subjects == nil:
		return nil, errors.New("spec: set match or subjects")
	case spec.Match != nil && reflect.ValueOf(*spec.Match).IsZero():
		return nil, errors.New("spec.match: set a field; for everything, switch the policy off")
	case strings.TrimSpace(spec.Reason) == "":
		return nil, errors.New("spec.reason: say why")
	case strings.TrimSpace(spec.Owner) == "":
		return nil, errors.New("spec.owner: say who answers for it")
	case spec.ExpiresAt.IsZero():
		return nil, errors.New("spec.expiresAt: say when it ends")
	}
	if spec.Subjects != nil && (spec.Subjects.All || len(spec.Subjects.Users)+len(spec.Subjects.Groups)+len(spec.Subjects.ServiceAccounts) == 0) {
		return nil, errors.New("spec.subjects: name at least one user, group or service account")
	}
	if m := spec.Match; m != nil {
		for _, s := range []struct {
			field string
			from  *metav1.LabelSelector
			to    *labels.Selector
		}{{"namespaceSelector", m.NamespaceSelector, &x.namespaces}, {"selector", m.Selector, &x.objects}} {
			if s.from == nil {
				continue
			}
			compiled, err := metav1.LabelSelectorAsSelector(s.from)
			if err != nil {
				return nil, fmt.Errorf("spec.match.%s: %w", s.field, err)
			}
			*s.to = compiled
		}
	}
	return x, nil
}

// NewExceptions collects compiled ones. Their order does not matter.
func NewExceptions(all []*Exception) *Exceptions {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b *Exception) int { return compareSources(a.Source, b.Source) })
	return &Exceptions{all}
}

// LoadExceptions compiles the Exceptions among objects. before are those so far:
// what has not changed stays as it is, with the time of its last use, and so does
// the last good version of one that does not compile any more. Foreign exceptions
// are mapped onto Exceptions by their engines.
func LoadExceptions(objects []Object, before *Exceptions) (*Exceptions, []Problem) {
	var all []*Exception
	var problems []Problem
	for _, o := range objects {
		if kind := o.GroupVersionKind(); kind.Group != v1alpha1.GroupName || kind.Kind != "Exception" {
			continue
		}
		var last *Exception
		for _, x := range before.All() {
			if x.Source == o.Source {
				last = x
			}
		}
		e := &v1alpha1.Exception{}
		err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, e, true)
		var fresh *Exception
		if err == nil {
			if last != nil && equality.Semantic.DeepEqual(last.Spec, &e.Spec) {
				all = append(all, last)
				continue
			}
			fresh, err = NewException(e, o.Source)
		}
		switch {
		case err == nil:
			if last != nil {
				fresh.lastUsed.Store(last.lastUsed.Load())
			}
			all = append(all, fresh)
		case last != nil:
			all = append(all, last)
		}
		if err != nil {
			problems = append(problems, Problem{Source: o.Source, Message: err.Error(), Hint: "kubectl explain exception.spec tells the fields", InForce: last != nil})
		}
	}
	return NewExceptions(all), problems
}

// All are those of the set, by name.
func (x *Exceptions) All() []*Exception {
	if x == nil {
		return nil
	}
	return x.all
}

// LastUsed is when it last let something through; zero where it has not since the
// process began. What has no effect, a dry run or a RequestReview, is no use of it.
func (x *Exception) LastUsed() time.Time {
	if at := x.lastUsed.Load(); at != 0 {
		return time.Unix(at, 0)
	}
	return time.Time{}
}

// Expired reports whether it has ended.
func (x *Exception) Expired(now time.Time) bool { return !now.Before(x.Spec.ExpiresAt.Time) }

// find is the first that lets a result of a policy through; nil where none does.
// sources are the policy's, and those that the result names.
func (x *Exceptions) find(ctx context.Context, r *Request, sources []gate.Source, result *Result, now time.Time) *Exception {
	if x == nil {
		return nil
	}
	for _, e := range x.all {
		if e.names(sources) && !e.Expired(now) && e.matches(ctx, r, result) {
			if hasEffect(ctx, r) {
				e.lastUsed.Store(now.Unix())
			}
			return e
		}
	}
	return nil
}

// hasEffect reports whether something comes of what is said. The scan asks as if in a dry
// run, and what it finds is there; a review of exec, which knows no dry run, shows by its
// Recorder.
func hasEffect(ctx context.Context, r *Request) bool {
	if r.Background {
		return true
	}
	recorder := gate.RecorderFrom(ctx)
	return !r.IsDryRun() && (recorder == nil || !recorder.All)
}

// namesOf are the objects that a mutator is made of: an Exception may name any of them.
func namesOf(m Mutator) []gate.Source {
	if of, ok := m.(interface{ Sources() []gate.Source }); ok {
		return of.Sources()
	}
	return []gate.Source{m.Source()}
}

// Names reports whether it is for a policy.
func (x *Exception) Names(source gate.Source) bool { return x.names([]gate.Source{source}) }

func (x *Exception) names(sources []gate.Source) bool {
	return slices.ContainsFunc(x.Spec.Policies, func(p v1alpha1.ExceptedPolicy) bool {
		return slices.ContainsFunc(sources, func(s gate.Source) bool {
			return (p.Kind == "" || p.Kind == s.Kind) && (glob.Match(p.Name, s.Name) || s.Part != "" && glob.Match(p.Name, s.Part))
		})
	})
}

// matches fails towards no exception: what cannot be found out does not match.
func (x *Exception) matches(ctx context.Context, r *Request, result *Result) bool {
	if s := x.Spec.Subjects; s != nil && (r.Background || !asks(s, r.GetUserInfo())) {
		return false
	}
	m := x.Spec.Match
	if m == nil {
		return true
	}
	if m.Kinds != nil && !slices.Contains(m.Kinds, r.GetKind().Kind) {
		return false
	}
	if m.Namespaces != nil || x.namespaces != nil {
		name, known, set := namespaceOf(ctx, r)
		if name == "" || m.Namespaces != nil && !glob.Any(m.Namespaces, name) ||
			x.namespaces != nil && (!known || !x.namespaces.Matches(set)) {
			return false
		}
	}
	if m.Names == nil && x.objects == nil && m.Images == nil {
		return true
	}
	o, err := r.Object()
	if o == nil && err == nil {
		o, err = r.OldObject()
	}
	name := r.GetName()
	if o != nil && name == "" {
		if name = o.GetName(); name == "" {
			name = o.GetGenerateName()
		}
	}
	if m.Names != nil && !glob.Any(m.Names, name) {
		return false
	}
	if x.objects == nil && m.Images == nil {
		return true
	}
	if o == nil || err != nil {
		return false
	}
	if x.objects != nil && !x.objects.Matches(labels.Set(o.GetLabels())) {
		return false
	}
	if m.Images == nil {
		return true
	}
	images := result.Images
	if len(images) == 0 {
		images = Images(o, result.Path)
	}
	return len(images) > 0 && !slices.ContainsFunc(images, func(image string) bool { return !glob.Any(m.Images, image) })
}

func asks(s *v1alpha1.GuardSubjects, u user.Info) bool {
	if u == nil {
		return false
	}
	if slices.Contains(s.Users, u.GetName()) || slices.ContainsFunc(s.Groups, func(g string) bool { return slices.Contains(u.GetGroups(), g) }) {
		return true
	}
	namespace, name, err := serviceaccount.SplitUsername(u.GetName())
	return err == nil && slices.ContainsFunc(s.ServiceAccounts, func(a v1alpha1.GuardServiceAccount) bool {
		return a.Namespace == namespace && (a.Name == "*" || a.Name == name)
	})
}

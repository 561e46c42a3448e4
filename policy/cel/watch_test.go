package cel_test

import (
	"reflect"
	"slices"
	"testing"

	celgo "github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	v1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apiserver/pkg/admission"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

// watch notes every part of a request that an evaluation really looks at: where it is, and
// whether its shape counts or, where it is compared or converted, all of it. What becomes
// of a text or a number in the end is not seen.
type watch struct {
	seen []policy.Read
}

// part is a value of a request that is being watched.
func (w *watch) part(at policy.Read, value any) ref.Val {
	switch v := value.(type) {
	case map[string]any:
		return watchedMap{w, at, v, types.DefaultTypeAdapter.NativeToValue(v).(traits.Mapper)}
	case []any:
		return watchedList{w, at, v, types.DefaultTypeAdapter.NativeToValue(v).(traits.Lister)}
	}
	return types.DefaultTypeAdapter.NativeToValue(value)
}

func (w *watch) see(at policy.Read, shape bool) {
	at.Shape = shape
	w.seen = append(w.seen, at)
}

func inside(at policy.Read, field string) policy.Read {
	return policy.Read{Of: at.Of, Fields: append(slices.Clone(at.Fields), field)}
}

type watchedMap struct {
	w    *watch
	at   policy.Read
	of   map[string]any
	real traits.Mapper
}

func (m watchedMap) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return m.real.Find(key)
	}
	at := inside(m.at, string(name))
	m.w.see(at, true)
	value, ok := m.of[string(name)]
	if !ok {
		return nil, false
	}
	return m.w.part(at, value), true
}

func (m watchedMap) Get(key ref.Val) ref.Val {
	if value, ok := m.Find(key); ok {
		return value
	}
	return types.NewErr("no such key: %v", key)
}

func (m watchedMap) Contains(key ref.Val) ref.Val {
	m.w.see(m.at, true)
	return m.real.Contains(key)
}

func (m watchedMap) Iterator() traits.Iterator {
	m.w.see(m.at, true)
	return m.real.Iterator()
}

// Size is asked for by who counts the cost of a comparison with null, too.
func (m watchedMap) Size() ref.Val { m.w.see(m.at, true); return m.real.Size() }

func (m watchedMap) Equal(other ref.Val) ref.Val { m.w.see(m.at, false); return m.real.Equal(other) }
func (m watchedMap) Value() any                  { m.w.see(m.at, false); return m.of }
func (m watchedMap) Type() ref.Type              { return types.MapType }
func (m watchedMap) ConvertToNative(to reflect.Type) (any, error) {
	m.w.see(m.at, false)
	return m.real.ConvertToNative(to)
}
func (m watchedMap) ConvertToType(to ref.Type) ref.Val { return m.real.ConvertToType(to) }

type watchedList struct {
	w    *watch
	at   policy.Read
	of   []any
	real traits.Lister
}

func (l watchedList) Get(index ref.Val) ref.Val {
	i, err := types.IndexOrError(index)
	if err != nil || i < 0 || i >= len(l.of) {
		l.w.see(l.at, true)
		return types.NewErr("no such element: %v", index)
	}
	at := inside(l.at, policy.Each)
	l.w.see(at, true)
	return l.w.part(at, l.of[i])
}

func (l watchedList) Contains(value ref.Val) ref.Val {
	l.w.see(l.at, false)
	return l.real.Contains(value)
}

func (l watchedList) Add(other ref.Val) ref.Val {
	// As a list that is made of both does, it looks at no element before it is asked.
	l.w.see(l.at, true)
	var all []ref.Val
	for _, one := range []traits.Iterable{l, other.(traits.Iterable)} {
		for i := one.Iterator(); i.HasNext() == types.True; {
			all = append(all, i.Next())
		}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, all)
}

func (l watchedList) Iterator() traits.Iterator {
	l.w.see(l.at, true)
	return &eachWatched{watchedList: l}
}

func (l watchedList) Size() ref.Val { l.w.see(l.at, true); return l.real.Size() }

func (l watchedList) Equal(other ref.Val) ref.Val { l.w.see(l.at, false); return l.real.Equal(other) }
func (l watchedList) Value() any                  { l.w.see(l.at, false); return l.of }
func (l watchedList) Type() ref.Type              { return types.ListType }
func (l watchedList) ConvertToNative(to reflect.Type) (any, error) {
	l.w.see(l.at, false)
	return l.real.ConvertToNative(to)
}
func (l watchedList) ConvertToType(to ref.Type) ref.Val { return l.real.ConvertToType(to) }

type eachWatched struct {
	watchedList
	next int
}

func (e *eachWatched) HasNext() ref.Val { return types.Bool(e.next < len(e.of)) }
func (e *eachWatched) Next() ref.Val {
	e.next++
	at := inside(e.at, policy.Each)
	// Whether anybody looks at the element is to be seen.
	return e.w.part(at, e.of[e.next-1])
}

// told reports whether reads tell of a part that was seen.
func told(parts []policy.Read, seen policy.Read) bool {
	for _, one := range parts {
		n := min(len(one.Fields), len(seen.Fields))
		if one.Of != seen.Of || !slices.EqualFunc(one.Fields[:n], seen.Fields[:n], func(of, really string) bool { return of == really || of == policy.Each }) {
			continue
		}
		switch {
		case !one.Shape && len(one.Fields) <= len(seen.Fields):
			return true
		case !seen.Shape:
		case len(one.Fields) == len(seen.Fields): // its shape
			return true
		case len(one.Fields) == len(seen.Fields)-1: // whether it is there
			return true
		case len(one.Fields) > len(seen.Fields): // a part of it
			return true
		}
	}
	return false
}

// sees evaluates an expression with its variables for a request, and is what was looked at.
func sees(t testing.TB, env *celgo.Env, rules *cel.Rules, r *asked) []policy.Read {
	w := &watch{}
	given := map[string]any{"params": map[string]any{"spec": map[string]any{"parameters": parameters}}}
	for name, of := range map[string]policy.Of{"object": policy.OfObject, "oldObject": policy.OfOldObject, "namespaceObject": policy.OfNamespace, "request": policy.OfRequest} {
		given[name] = w.part(policy.Read{Of: of}, r.part[of])
	}
	evaluate := func(text string) ref.Val {
		compiled, issues := env.Compile(text)
		if issues != nil {
			t.Fatal(text, issues)
		}
		program, err := env.Program(compiled, celgo.EvalOptions(celgo.OptOptimize, celgo.OptTrackCost))
		if err != nil {
			t.Fatal(err)
		}
		value, _, err := program.Eval(given)
		if value == nil {
			return types.WrapErr(err)
		}
		return value
	}
	variables := map[string]any{}
	given["variables"] = variables
	for _, v := range rules.Variables {
		variables[v.Name] = evaluate(v.Expression)
	}
	for _, v := range rules.Validations {
		evaluate(v.Expression)
	}
	return w.seen
}

// watched are rules whose variables are all looked at: an evaluation here makes them first.
func (m maker) watched(t testing.TB) cel.Rules {
	if m.seldom(3) {
		var source struct {
			Variables   []v1.Variable   `json:"variables"`
			Validations []v1.Validation `json:"validations"`
		}
		if err := yaml.Unmarshal([]byte(templates[m.IntN(len(templates))]), &source); err != nil {
			t.Fatal(err)
		}
		return cel.Rules{Params: true, Variables: append(gatekeepers[:len(gatekeepers):len(gatekeepers)], source.Variables...), Validations: source.Validations}
	}
	return cel.Rules{Validations: []v1.Validation{{Expression: m.combined(2)}}}
}

// What an evaluation looks at is among what the analysis says.
func TestReadsTellWhatIsSeen(t *testing.T) {
	compiler := shared()
	seen := 0
	for seed := range uint64(600) {
		m := newMaker(t, seed)
		rules := m.watched(t)
		parts, ok := compiler.PartsOf(rules)
		if !ok {
			continue
		}
		base := newAsked(t, attributes(admission.Create, m.disturbed(rich(t), m.IntN(3)), nil, pods, ""), namespace("shop", map[string]string{"env": "prod"}))
		for _, one := range sees(t, compiler.Analyzing(), &rules, base) {
			if one.Of == policy.OfRequest && len(one.Fields) > 0 && slices.Contains(constant, one.Fields[0]) {
				continue
			}
			if seen++; !told(parts, one) {
				t.Fatalf("seed %d: %+v\nlooks at  %s\nand reads %s", seed, rules, spelled([]policy.Read{one}), spelled(parts))
			}
		}
	}
	if seen < 1000 {
		t.Errorf("%d parts were seen: too few", seen)
	}
	t.Logf("%d parts were seen", seen)
}

// constant are the fields of a request that every answer hangs on.
var constant = []string{"kind", "resource", "subResource", "requestKind", "requestResource", "requestSubResource", "operation"}

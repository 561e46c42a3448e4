package cel

import (
	"strings"

	celgo "github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"k8s.io/apimachinery/pkg/util/version"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"

	"github.com/gatehouse-io/gatehouse/policy"
)

// analysis works out what the expressions of some rules read. It goes through each once,
// as an evaluation would, with what a value may lead back to in place of the value.
//
// What an expression costs counts as well: a policy whose budget is spent has something
// to say. But cost is made of the same values: of which branches are taken, how many
// elements a list has, how long a string is that somebody read wholly.
type analysis struct {
	env *celgo.Env
	// checked is the expression that is being gone through.
	checked *ast.AST
	// locals are the variables of the comprehensions around it, innermost last.
	locals []local
	// expressions are those of the variables of the rules, variables what is known of
	// them: nil while one is being gone through.
	expressions map[string]string
	variables   map[string]*reach

	reads    []policy.Read
	supposed []supposition
	// lost says that something else is looked at than can be read.
	lost bool
}

type local struct {
	name string
	is   reach
}

// newAnalyzing is upstream's environment with all that expressions may see. Upstream's own
// is not to be had, nor does it keep an expression that it has checked.
func newAnalyzing(base *environment.EnvSet) (*celgo.Env, error) {
	namespace, request := plugincel.BuildNamespaceType(), plugincel.BuildRequestType()
	set, err := base.Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions: []celgo.EnvOption{
			celgo.Variable(plugincel.ObjectVarName, celgo.DynType),
			celgo.Variable(plugincel.OldObjectVarName, celgo.DynType),
			celgo.Variable(plugincel.ParamsVarName, celgo.DynType),
			celgo.Variable(plugincel.VariableVarName, celgo.DynType),
			celgo.Variable(plugincel.NamespaceVarName, namespace.CelType()),
			celgo.Variable(plugincel.RequestVarName, request.CelType()),
			celgo.Variable(plugincel.AuthorizerVarName, library.AuthorizerType),
			celgo.Variable(plugincel.RequestResourceAuthorizerVarName, library.ResourceCheckType),
		},
		DeclTypes: []*apiservercel.DeclType{namespace, request},
	})
	if err != nil {
		return nil, err
	}
	return set.Env(environment.StoredExpressions)
}

func newAnalysis(env *celgo.Env, rules *Rules) *analysis {
	a := &analysis{env: env, expressions: map[string]string{}, variables: map[string]*reach{}}
	for _, v := range rules.Variables {
		a.expressions[v.Name] = v.Expression // the last of a name counts, as for upstream
	}
	return a
}

// expression is what one yields that sees no locals.
func (a *analysis) expression(text string) reach {
	compiled, issues := a.env.Compile(text)
	if issues != nil && issues.Err() != nil {
		return a.lose()
	}
	checked, locals := a.checked, a.locals
	a.checked, a.locals = compiled.NativeRep(), nil
	r := a.of(a.checked.Expr())
	a.checked, a.locals = checked, locals
	return r
}

// verdict goes through an expression whose value decides.
func (a *analysis) verdict(text string) { a.whole(a.expression(text)) }

func (a *analysis) lose() reach {
	a.lost = true
	return reach{}
}

func (a *analysis) of(e ast.Expr) reach {
	if a.lost {
		return reach{}
	}
	switch e.Kind() {
	case ast.LiteralKind:
		return reach{}
	case ast.IdentKind:
		return a.name(e, e.AsIdent())
	case ast.SelectKind:
		s := e.AsSelect()
		if a.checked.ReferenceMap()[e.ID()] != nil {
			return a.name(e, "") // authorizer.requestResource
		}
		r := a.field(a.of(s.Operand()), s.FieldName())
		if s.IsTestOnly() {
			a.shape(r)
			return reach{}
		}
		return r
	case ast.CallKind:
		return a.call(e)
	case ast.ListKind:
		var elements []reach
		for _, one := range e.AsList().Elements() {
			elements = append(elements, a.of(one))
		}
		return a.made(elements)
	case ast.MapKind:
		var values []reach
		for _, one := range e.AsMap().Entries() {
			a.whole(a.of(one.AsMapEntry().Key()))
			values = append(values, a.of(one.AsMapEntry().Value()))
		}
		return a.made(values)
	case ast.StructKind:
		for _, one := range e.AsStruct().Fields() {
			a.whole(a.of(one.AsStructField().Value()))
		}
		return reach{}
	case ast.ComprehensionKind:
		return a.comprehension(e.AsComprehension())
	}
	return a.lose()
}

// made is a list or a map of these. Whether each of them is there at all decides whether
// it can be made, whoever looks at it.
func (a *analysis) made(of []reach) reach {
	each := join(of...)
	a.shape(each)
	if each.weight() == 0 {
		return reach{}
	}
	return reach{each: &each}
}

// name is what one stands for.
func (a *analysis) name(e ast.Expr, name string) reach {
	if reference := a.checked.ReferenceMap()[e.ID()]; reference != nil {
		if reference.Value != nil {
			return reach{}
		}
		name = reference.Name
	}
	for i := len(a.locals) - 1; i >= 0; i-- {
		if a.locals[i].name == name {
			return a.locals[i].is
		}
	}
	if a.checked.GetType(e.ID()).Kind() == types.TypeKind {
		return reach{} // the name of a type
	}
	// A dot in front says that no local is meant.
	switch strings.TrimPrefix(name, ".") {
	case plugincel.ObjectVarName:
		return reach{at: []policy.Read{{Of: policy.OfObject}}}
	case plugincel.OldObjectVarName:
		return reach{at: []policy.Read{{Of: policy.OfOldObject}}}
	case plugincel.NamespaceVarName:
		return reach{at: []policy.Read{{Of: policy.OfNamespace}}}
	case plugincel.RequestVarName:
		return reach{at: []policy.Read{{Of: policy.OfRequest}}}
	case plugincel.ParamsVarName:
		return reach{} // they are a part of the policy: Rules that look theirs up vouch for nothing
	case plugincel.VariableVarName:
		return reach{variables: true}
	}
	return a.lose()
}

// variable is one of the rules. Where one is looked at, all is read that it is computed of,
// whatever becomes of its value; what it may be itself, and whether that is there at all,
// is read by who looks at it, as everywhere.
func (a *analysis) variable(name string) reach {
	if strings.Contains(name, "__") {
		if unescaped, ok := apiservercel.Unescape(name); ok {
			name = unescaped
		}
	}
	if known, ok := a.variables[name]; ok {
		if known == nil {
			return a.lose() // it is made of itself
		}
		return *known
	}
	text, ok := a.expressions[name]
	if !ok {
		return reach{} // nobody has such a variable, whatever the request
	}
	a.variables[name] = nil
	r := a.expression(text)
	a.variables[name] = &r
	return r
}

// comprehension goes round until what its result may be grows no more.
func (a *analysis) comprehension(c ast.ComprehensionExpr) reach {
	around := a.of(c.IterRange())
	var first, second reach
	switch {
	case c.HasIterVar2():
		second = a.elements(around)
	case a.suppose(around, true):
		a.shape(around) // it goes through the keys
	default:
		first = a.elements(around)
	}
	accumulated := a.of(c.AccuInit())
	a.shape(accumulated)
	outside := len(a.locals)
	defer func() { a.locals = a.locals[:outside] }()
	for round := 0; ; round++ {
		if round > 10 {
			return a.lose()
		}
		a.locals = append(a.locals[:outside], local{c.AccuVar(), accumulated}, local{c.IterVar(), first})
		if c.HasIterVar2() {
			a.locals = append(a.locals, local{c.IterVar2(), second})
		}
		a.whole(a.of(c.LoopCondition()))
		step := a.of(c.LoopStep())
		a.shape(step)
		grown := join(accumulated, step)
		if grown.weight() == accumulated.weight() {
			break
		}
		accumulated = grown
	}
	a.locals = append(a.locals[:outside], local{c.AccuVar(), accumulated})
	return a.of(c.Result())
}

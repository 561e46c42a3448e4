package condition

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/gatehouse-io/gatehouse/audit/celevent"
)

// Env is where expressions are compiled. Making one takes some milliseconds.
type Env struct{ conditions, messages *celevent.Env }

// NewEnv makes an Env.
func NewEnv() (*Env, error) {
	object := cel.MapType(cel.StringType, cel.DynType)
	variables := []cel.EnvOption{
		cel.Variable("user", cel.StringType), cel.Variable("actor", cel.StringType), cel.Variable("address", cel.StringType),
		cel.Variable("ns", cel.StringType), cel.Variable("who", cel.StringType), cel.Variable("object", object), cel.Variable("pod", object),
		cel.Variable("containers", cel.ListType(object)),
	}
	conditions, err := celevent.NewEnv(celevent.Options{Extend: variables})
	if err != nil {
		return nil, err
	}
	messages, err := celevent.NewEnv(celevent.Options{Extend: append(variables,
		cel.Variable("count", cel.IntType), cel.Variable("values", cel.ListType(cel.StringType)))})
	if err != nil {
		return nil, err
	}
	return &Env{conditions, messages}, nil
}

// Levels that expressions ask for, as audit policies call them.
const (
	LevelMetadata        = "Metadata"
	LevelRequest         = "Request"
	LevelRequestResponse = "RequestResponse"
)

// Mentions are what an expression asks of an event.
type Mentions struct {
	// Fields of the event, sorted, such as user.username.
	Fields []string
	// Level is the lowest at which all of it is recorded.
	Level string
	// Bodies says that a body may be asked for.
	Bodies bool
}

// mentions adds the variables to what a program says of itself.
func mentions(p *celevent.Program) Mentions {
	m := Mentions{Fields: p.Fields(), Level: LevelMetadata, Bodies: p.Bodies()}
	for _, e := range ast.MatchDescendants(ast.NavigateAST(p.AST().NativeRep()), ast.KindMatcher(ast.IdentKind)) {
		switch strings.TrimPrefix(e.AsIdent(), ".") {
		case "object", "pod", "containers":
			m.Bodies, m.Level = true, LevelRequest
		}
	}
	for _, f := range m.Fields {
		switch f {
		case "requestObject":
			m.Level = max(m.Level, LevelRequest) // the names are in the order of the levels
		case "responseObject":
			m.Level = LevelRequestResponse
		}
	}
	return m
}

// Condition is a compiled condition. It is safe for concurrent use.
type Condition struct {
	program *celevent.Program // nil for one that is always true
	native  predicate
	// kinds is what can be told from what kind of user made the request.
	kinds    predicate
	mentions Mentions
}

// Condition compiles a condition; an empty one is true. What is wrong with it is a
// celevent.SyntaxError.
func (e *Env) Condition(expression string) (*Condition, error) {
	if strings.TrimSpace(expression) == "" {
		return &Condition{mentions: Mentions{Level: LevelMetadata}}, nil
	}
	p, err := e.conditions.Compile(expression, celevent.Bool)
	if err != nil {
		return nil, err
	}
	return &Condition{program: p, native: native{}.compile(p.AST().NativeRep().Expr()), kinds: native{kinds: true}.compile(p.AST().NativeRep().Expr()), mentions: mentions(p)}, nil
}

// Mentions are what the condition asks of an event.
func (c *Condition) Mentions() Mentions { return c.mentions }

// String is the expression.
func (c *Condition) String() string {
	if c.program == nil {
		return "true"
	}
	return c.program.String()
}

// Match evaluates the condition.
func (c *Condition) Match(ctx context.Context, in *Input) (bool, error) {
	if c.program == nil {
		return true, nil
	}
	switch c.native(in) {
	case yes:
		return true, nil
	case no:
		return false, nil
	}
	return c.program.Match(ctx, &in.Activation)
}

// Never reports whether the condition is false for every request of the same kind of user
// as this one's.
func (c *Condition) Never(in *Input) bool { return c.program != nil && c.kinds(in) == no }

// Slow evaluates the condition by CEL alone, for tests and benchmarks.
func (c *Condition) Slow(ctx context.Context, in *Input) (bool, error) {
	if c.program == nil {
		return true, nil
	}
	return c.program.Match(ctx, &in.Activation)
}

// Value is a compiled expression whose value is used as a text or as a number.
type Value struct {
	program *celevent.Program
	text    text // not nil where it is a field: no need of CEL
}

// Text compiles an expression whose value can be told as a text.
func (e *Env) Text(expression string) (*Value, error) { return value(e.conditions, expression) }

// Number compiles an expression that gives a number.
func (e *Env) Number(expression string) (*Value, error) {
	v, err := value(e.conditions, expression)
	if err != nil {
		return nil, err
	}
	switch v.program.AST().OutputType().Kind() {
	case types.IntKind, types.UintKind, types.DoubleKind, types.DynKind:
		return v, nil
	}
	return nil, &celevent.SyntaxError{Message: fmt.Sprintf("the expression gives %s, not a number", v.program.AST().OutputType())}
}

func value(env *celevent.Env, expression string) (*Value, error) {
	p, err := env.Compile(expression, cel.DynType)
	if err != nil {
		return nil, err
	}
	return &Value{p, native{}.textOf(p.AST().NativeRep().Expr())}, nil
}

// Mentions are what the expression asks of an event.
func (v *Value) Mentions() Mentions { return mentions(v.program) }

// String is the expression.
func (v *Value) String() string { return v.program.String() }

// Text is the value as a text.
func (v *Value) Text(ctx context.Context, in *Input) (string, error) {
	if v.text != nil {
		return v.text(in), nil
	}
	value, err := v.program.Eval(ctx, &in.Activation)
	if err != nil {
		return "", err
	}
	return write(value), nil
}

// Number is the value as a number.
func (v *Value) Number(ctx context.Context, in *Input) (float64, error) {
	value, err := v.program.Eval(ctx, &in.Activation)
	if err != nil {
		return 0, err
	}
	switch n := value.(type) {
	case types.Int:
		return float64(n), nil
	case types.Uint:
		return float64(n), nil
	case types.Double:
		return float64(n), nil
	}
	return 0, fmt.Errorf("the expression gives %s, not a number", value.Type().TypeName())
}

// maxTold is how many elements of a list are told.
const maxTold = 20

// write is a value as people read it.
func write(value ref.Val) string {
	switch v := value.(type) {
	case types.String:
		return string(v)
	case types.Double:
		return strconv.FormatFloat(float64(v), 'g', -1, 64)
	case types.Null:
		return ""
	case traits.Lister:
		var told []string
		for it := v.Iterator(); it.HasNext() == types.True; {
			if len(told) == maxTold {
				told = append(told, "…")
				break
			}
			told = append(told, write(it.Next()))
		}
		return strings.Join(told, ", ")
	}
	if s, ok := value.ConvertToType(types.StringType).(types.String); ok {
		return string(s)
	}
	return value.Type().TypeName()
}

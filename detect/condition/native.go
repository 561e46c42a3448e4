package condition

import (
	"regexp"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"github.com/gatehouse-io/gatehouse/audit"
)

// celActivation shortens a signature.
type celActivation = cel.Activation

// tri is a truth that may not be known.
type tri uint8

const (
	unknown tri = iota
	no
	yes
)

func truth(b bool) tri {
	if b {
		return yes
	}
	return no
}

// predicate answers for an event, as far as it can without CEL.
type predicate func(in *Input) tri

// text is a field of an event that is a string.
type text func(in *Input) string

// texts are the variables that are strings. The map is never written to.
var texts = map[string]text{
	"user":    func(in *Input) string { return in.event.User },
	"actor":   func(in *Input) string { return actor(in.event) },
	"who":     (*Input).Who,
	"address": func(in *Input) string { return address(in.event) },
	"ns":      func(in *Input) string { return in.event.Namespace },
}

// fields are the fields of event that are strings. The map is never written to.
var fields = map[string]text{
	"level":                     func(in *Input) string { return in.event.Level },
	"auditID":                   func(in *Input) string { return in.event.ID },
	"stage":                     func(in *Input) string { return in.event.Stage },
	"requestURI":                func(in *Input) string { return in.event.URI },
	"verb":                      func(in *Input) string { return in.event.Verb },
	"userAgent":                 func(in *Input) string { return in.event.UserAgent },
	"decision":                  (*Input).decided,
	"source":                    func(in *Input) string { return in.event.Source },
	"user.username":             func(in *Input) string { return in.event.User },
	"user.uid":                  func(in *Input) string { return in.event.UID },
	"impersonatedUser.username": func(in *Input) string { return in.event.AsUser },
	"impersonatedUser.uid":      func(in *Input) string { return in.event.AsUID },
	"objectRef.resource":        func(in *Input) string { return in.event.Resource },
	"objectRef.subresource":     func(in *Input) string { return in.event.Subresource },
	"objectRef.namespace":       func(in *Input) string { return in.event.Namespace },
	"objectRef.name":            func(in *Input) string { return in.event.Name },
	"objectRef.uid":             func(in *Input) string { return in.event.ObjectUID },
	"objectRef.apiGroup":        func(in *Input) string { return in.event.APIGroup },
	"objectRef.apiVersion":      func(in *Input) string { return in.event.APIVersion },
	"objectRef.resourceVersion": func(in *Input) string { return in.event.ResourceVersion },
	"responseStatus.status":     func(in *Input) string { return in.event.Status },
	"responseStatus.reason":     func(in *Input) string { return in.event.StatusReason },
	"responseStatus.message":    func(in *Input) string { return in.event.Message },
	"authenticationMetadata.impersonationConstraint": func(in *Input) string { return in.event.Constraint },
}

// lists are the fields of event that are lists of strings. The map is never written to.
var lists = map[string]func(e *audit.Event) []string{
	"user.groups":             func(e *audit.Event) []string { return e.Groups },
	"impersonatedUser.groups": func(e *audit.Event) []string { return e.AsGroups },
	"sourceIPs":               func(e *audit.Event) []string { return e.SourceIPs },
	"unknown":                 func(e *audit.Event) []string { return e.Unknown },
}

// parts are the fields of event that has() may ask for, beside those above.
var parts = map[string]func(e *audit.Event) bool{
	"impersonatedUser": func(e *audit.Event) bool { return e.AsUser != "" },
	"objectRef":        func(e *audit.Event) bool { return e.Resource != "" || e.Name != "" || e.Namespace != "" },
	"requestObject":    func(e *audit.Event) bool { return len(e.Request) > 0 },
	"responseObject":   func(e *audit.Event) bool { return len(e.Response) > 0 },
}

// native makes predicates.
type native struct {
	// kinds says that nothing is known of an event but what kind of user made it.
	kinds bool
}

// compile makes a predicate of a checked expression. It does not go into comprehensions,
// so that a variable always is the one of the environment.
func (n native) compile(e ast.Expr) predicate {
	switch e.Kind() {
	case ast.LiteralKind:
		if b, ok := e.AsLiteral().(types.Bool); ok {
			return constant(truth(bool(b)))
		}
	case ast.SelectKind:
		return n.compileSelect(e)
	case ast.CallKind:
		return n.compileCall(e.AsCall())
	}
	return constant(unknown)
}

func constant(t tri) predicate { return func(*Input) tri { return t } }

func (n native) compileSelect(e ast.Expr) predicate {
	path, ok := pathOf(e)
	if !ok || n.kinds {
		return constant(unknown)
	}
	if path == "truncated" {
		return func(in *Input) tri { return truth(in.event.Truncated) }
	}
	if !e.AsSelect().IsTestOnly() {
		return constant(unknown)
	}
	if get := fields[path]; get != nil {
		return func(in *Input) tri { return truth(get(in) != "") }
	}
	if get := lists[path]; get != nil {
		return func(in *Input) tri { return truth(len(get(in.event)) > 0) }
	}
	if has := parts[path]; has != nil {
		return func(in *Input) tri { return truth(has(in.event)) }
	}
	return constant(unknown)
}

// pathOf is the path of a select from event, such as user.username.
func pathOf(e ast.Expr) (path string, ok bool) {
	for e.Kind() == ast.SelectKind {
		if path != "" {
			path = "." + path
		}
		path = e.AsSelect().FieldName() + path
		e = e.AsSelect().Operand()
	}
	return path, e.Kind() == ast.IdentKind && strings.TrimPrefix(e.AsIdent(), ".") == "event" && path != ""
}

// textOf is the text that an expression is; nil where it is none that is known.
func (n native) textOf(e ast.Expr) text {
	switch e.Kind() {
	case ast.IdentKind:
		if name := strings.TrimPrefix(e.AsIdent(), "."); !n.kinds || name == "who" {
			return texts[name]
		}
	case ast.SelectKind:
		if n.kinds {
			return nil
		}
		if path, ok := pathOf(e); ok && !e.AsSelect().IsTestOnly() {
			return fields[path]
		}
	case ast.LiteralKind:
		if s, ok := e.AsLiteral().(types.String); ok {
			return func(*Input) string { return string(s) }
		}
	}
	return nil
}

// literal is the string that an expression is.
func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// literals are the strings of a list that is written out.
func literals(e ast.Expr) (all []string, ok bool) {
	if e.Kind() != ast.ListKind || len(e.AsList().OptionalIndices()) > 0 {
		return nil, false
	}
	for _, element := range e.AsList().Elements() {
		s, ok := literal(element)
		if !ok {
			return nil, false
		}
		all = append(all, s)
	}
	return all, true
}

func (n native) compileCall(c ast.CallExpr) predicate {
	args := c.Args()
	switch c.FunctionName() {
	case operators.LogicalAnd:
		a, b := n.compile(args[0]), n.compile(args[1])
		return func(in *Input) tri {
			x := a(in)
			if x == no {
				return no
			}
			if y := b(in); y == no || x == yes {
				return y
			}
			return unknown
		}
	case operators.LogicalOr:
		a, b := n.compile(args[0]), n.compile(args[1])
		return func(in *Input) tri {
			x := a(in)
			if x == yes {
				return yes
			}
			if y := b(in); y == yes || x == no {
				return y
			}
			return unknown
		}
	case operators.LogicalNot:
		a := n.compile(args[0])
		return func(in *Input) tri {
			switch a(in) {
			case yes:
				return no
			case no:
				return yes
			}
			return unknown
		}
	case operators.Equals:
		return n.equal(args[0], args[1], true)
	case operators.NotEquals:
		return n.equal(args[0], args[1], false)
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return n.compare(c.FunctionName(), args[0], args[1])
	case operators.In:
		return n.in(args[0], args[1])
	}
	if c.IsMemberFunction() && len(args) == 1 {
		return n.member(c)
	}
	return constant(unknown)
}

func (n native) equal(a, b ast.Expr, want bool) predicate {
	if p := n.compareCode(operators.Equals, a, b, want); p != nil {
		return p
	}
	if f, fold := n.folded(a); f != nil && fold {
		if s, ok := literal(b); ok {
			return func(in *Input) tri { return truth(equalLower(f(in), s) == want) }
		}
		return constant(unknown)
	}
	x, y := n.textOf(a), n.textOf(b)
	if x == nil || y == nil {
		return constant(unknown)
	}
	if s, ok := literal(b); ok {
		return func(in *Input) tri { return truth((x(in) == s) == want) }
	}
	return func(in *Input) tri { return truth((x(in) == y(in)) == want) }
}

func (n native) compare(function string, a, b ast.Expr) predicate {
	if p := n.compareCode(function, a, b, true); p != nil {
		return p
	}
	return constant(unknown)
}

// compareCode compares the response's code with a number; nil where it is something else
// that is compared.
func (n native) compareCode(function string, a, b ast.Expr, want bool) predicate {
	if path, ok := pathOf(a); !ok || n.kinds || path != "responseStatus.code" || a.AsSelect().IsTestOnly() || b.Kind() != ast.LiteralKind {
		return nil
	}
	number, ok := b.AsLiteral().(types.Int)
	if !ok {
		return nil
	}
	holds := map[string]func(x, y int64) bool{
		operators.Equals:        func(x, y int64) bool { return x == y },
		operators.Less:          func(x, y int64) bool { return x < y },
		operators.LessEquals:    func(x, y int64) bool { return x <= y },
		operators.Greater:       func(x, y int64) bool { return x > y },
		operators.GreaterEquals: func(x, y int64) bool { return x >= y },
	}[function]
	return func(in *Input) tri { return truth(holds(int64(in.event.Code), int64(number)) == want) }
}

func (n native) in(a, b ast.Expr) predicate {
	if all, ok := literals(b); ok {
		if f, fold := n.folded(a); f != nil && fold {
			return func(in *Input) tri {
				value := f(in)
				return truth(slices.ContainsFunc(all, func(s string) bool { return equalLower(value, s) }))
			}
		}
		if x := n.textOf(a); x != nil {
			return func(in *Input) tri { return truth(slices.Contains(all, x(in))) }
		}
		return constant(unknown)
	}
	path, ok := pathOf(b)
	x := n.textOf(a)
	if !ok || x == nil || n.kinds {
		return constant(unknown)
	}
	if list := lists[path]; list != nil {
		return func(in *Input) tri { return truth(slices.Contains(list(in.event), x(in))) }
	}
	if path == "annotations" {
		return func(in *Input) tri {
			_, found := in.event.Annotations[x(in)]
			return truth(found)
		}
	}
	return constant(unknown)
}

// member compiles startsWith and the like.
func (n native) member(c ast.CallExpr) predicate {
	s, ok := literal(c.Args()[0])
	if !ok {
		return constant(unknown)
	}
	f, fold := n.folded(c.Target())
	if f == nil {
		return constant(unknown)
	}
	holds := map[string]func(value, s string) bool{
		"startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix, "contains": strings.Contains,
	}[c.FunctionName()]
	if fold {
		holds = map[string]func(value, s string) bool{
			"startsWith": func(v, s string) bool { return len(v) >= len(s) && equalLower(v[:len(s)], s) },
			"endsWith":   func(v, s string) bool { return len(v) >= len(s) && equalLower(v[len(v)-len(s):], s) },
			"contains":   containsLower,
		}[c.FunctionName()]
	}
	switch {
	case holds != nil:
		return func(in *Input) tri { return truth(holds(f(in), s)) }
	case c.FunctionName() == "matches" && !fold:
		if re, err := regexp.Compile(s); err == nil {
			return func(in *Input) tri { return truth(re.MatchString(f(in))) }
		}
	}
	return constant(unknown)
}

// folded is a text, and whether lowerAscii() is taken of it.
func (n native) folded(e ast.Expr) (f text, fold bool) {
	if e.Kind() == ast.CallKind {
		if c := e.AsCall(); c.IsMemberFunction() && c.FunctionName() == "lowerAscii" && len(c.Args()) == 0 {
			return n.textOf(c.Target()), true
		}
		return nil, false
	}
	return n.textOf(e), false
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// equalLower reports whether a text in lower case is another.
func equalLower(value, s string) bool {
	if len(value) != len(s) {
		return false
	}
	for i := range len(s) {
		if lower(value[i]) != s[i] {
			return false
		}
	}
	return true
}

func containsLower(value, s string) bool {
	for i := 0; i+len(s) <= len(value); i++ {
		if equalLower(value[i:i+len(s)], s) {
			return true
		}
	}
	return false
}

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
	"github.com/gatehouse-io/gatehouse/audit/query"
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
type predicate func(e *audit.Event) tri

// text is a field of an event that is a string.
type text func(e *audit.Event) string

// texts are the variables that are strings. The map is never written to.
var texts = map[string]text{
	"user":    func(e *audit.Event) string { return e.User },
	"actor":   actor,
	"who":     func(e *audit.Event) string { return query.AccountOf(e).Kind },
	"address": address,
	"ns":      func(e *audit.Event) string { return e.Namespace },
}

// fields are the fields of event that are strings. The map is never written to.
var fields = map[string]text{
	"level":                     func(e *audit.Event) string { return e.Level },
	"auditID":                   func(e *audit.Event) string { return e.ID },
	"stage":                     func(e *audit.Event) string { return e.Stage },
	"requestURI":                func(e *audit.Event) string { return e.URI },
	"verb":                      func(e *audit.Event) string { return e.Verb },
	"userAgent":                 func(e *audit.Event) string { return e.UserAgent },
	"decision":                  (*audit.Event).Decision,
	"source":                    func(e *audit.Event) string { return e.Source },
	"user.username":             func(e *audit.Event) string { return e.User },
	"user.uid":                  func(e *audit.Event) string { return e.UID },
	"impersonatedUser.username": func(e *audit.Event) string { return e.AsUser },
	"impersonatedUser.uid":      func(e *audit.Event) string { return e.AsUID },
	"objectRef.resource":        func(e *audit.Event) string { return e.Resource },
	"objectRef.subresource":     func(e *audit.Event) string { return e.Subresource },
	"objectRef.namespace":       func(e *audit.Event) string { return e.Namespace },
	"objectRef.name":            func(e *audit.Event) string { return e.Name },
	"objectRef.uid":             func(e *audit.Event) string { return e.ObjectUID },
	"objectRef.apiGroup":        func(e *audit.Event) string { return e.APIGroup },
	"objectRef.apiVersion":      func(e *audit.Event) string { return e.APIVersion },
	"objectRef.resourceVersion": func(e *audit.Event) string { return e.ResourceVersion },
	"responseStatus.status":     func(e *audit.Event) string { return e.Status },
	"responseStatus.reason":     func(e *audit.Event) string { return e.StatusReason },
	"responseStatus.message":    func(e *audit.Event) string { return e.Message },
	"authenticationMetadata.impersonationConstraint": func(e *audit.Event) string { return e.Constraint },
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

// compile makes a predicate of a checked expression. It does not go into comprehensions,
// so that a variable always is the one of the environment.
func compile(e ast.Expr) predicate {
	switch e.Kind() {
	case ast.LiteralKind:
		if b, ok := e.AsLiteral().(types.Bool); ok {
			return constant(truth(bool(b)))
		}
	case ast.SelectKind:
		return compileSelect(e)
	case ast.CallKind:
		return compileCall(e.AsCall())
	}
	return constant(unknown)
}

func constant(t tri) predicate { return func(*audit.Event) tri { return t } }

func compileSelect(e ast.Expr) predicate {
	path, ok := pathOf(e)
	if !ok {
		return constant(unknown)
	}
	if path == "truncated" {
		return func(e *audit.Event) tri { return truth(e.Truncated) }
	}
	if !e.AsSelect().IsTestOnly() {
		return constant(unknown)
	}
	if get := fields[path]; get != nil {
		return func(e *audit.Event) tri { return truth(get(e) != "") }
	}
	if get := lists[path]; get != nil {
		return func(e *audit.Event) tri { return truth(len(get(e)) > 0) }
	}
	if has := parts[path]; has != nil {
		return func(e *audit.Event) tri { return truth(has(e)) }
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
func textOf(e ast.Expr) text {
	switch e.Kind() {
	case ast.IdentKind:
		return texts[strings.TrimPrefix(e.AsIdent(), ".")]
	case ast.SelectKind:
		if path, ok := pathOf(e); ok && !e.AsSelect().IsTestOnly() {
			return fields[path]
		}
	case ast.LiteralKind:
		if s, ok := e.AsLiteral().(types.String); ok {
			return func(*audit.Event) string { return string(s) }
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

func compileCall(c ast.CallExpr) predicate {
	args := c.Args()
	switch c.FunctionName() {
	case operators.LogicalAnd:
		a, b := compile(args[0]), compile(args[1])
		return func(e *audit.Event) tri {
			x := a(e)
			if x == no {
				return no
			}
			if y := b(e); y == no || x == yes {
				return y
			}
			return unknown
		}
	case operators.LogicalOr:
		a, b := compile(args[0]), compile(args[1])
		return func(e *audit.Event) tri {
			x := a(e)
			if x == yes {
				return yes
			}
			if y := b(e); y == yes || x == no {
				return y
			}
			return unknown
		}
	case operators.LogicalNot:
		a := compile(args[0])
		return func(e *audit.Event) tri {
			switch a(e) {
			case yes:
				return no
			case no:
				return yes
			}
			return unknown
		}
	case operators.Equals:
		return equal(args[0], args[1], true)
	case operators.NotEquals:
		return equal(args[0], args[1], false)
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return compare(c.FunctionName(), args[0], args[1])
	case operators.In:
		return in(args[0], args[1])
	}
	if c.IsMemberFunction() && len(args) == 1 {
		return member(c)
	}
	return constant(unknown)
}

func equal(a, b ast.Expr, want bool) predicate {
	if p := compareCode(operators.Equals, a, b, want); p != nil {
		return p
	}
	if f, fold := folded(a); f != nil && fold {
		if s, ok := literal(b); ok {
			return func(e *audit.Event) tri { return truth(equalLower(f(e), s) == want) }
		}
		return constant(unknown)
	}
	x, y := textOf(a), textOf(b)
	if x == nil || y == nil {
		return constant(unknown)
	}
	if s, ok := literal(b); ok {
		return func(e *audit.Event) tri { return truth((x(e) == s) == want) }
	}
	return func(e *audit.Event) tri { return truth((x(e) == y(e)) == want) }
}

func compare(function string, a, b ast.Expr) predicate {
	if p := compareCode(function, a, b, true); p != nil {
		return p
	}
	return constant(unknown)
}

// compareCode compares the response's code with a number; nil where it is something else
// that is compared.
func compareCode(function string, a, b ast.Expr, want bool) predicate {
	if path, ok := pathOf(a); !ok || path != "responseStatus.code" || a.AsSelect().IsTestOnly() || b.Kind() != ast.LiteralKind {
		return nil
	}
	n, ok := b.AsLiteral().(types.Int)
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
	return func(e *audit.Event) tri { return truth(holds(int64(e.Code), int64(n)) == want) }
}

func in(a, b ast.Expr) predicate {
	if all, ok := literals(b); ok {
		if f, fold := folded(a); f != nil && fold {
			return func(e *audit.Event) tri {
				value := f(e)
				return truth(slices.ContainsFunc(all, func(s string) bool { return equalLower(value, s) }))
			}
		}
		if x := textOf(a); x != nil {
			return func(e *audit.Event) tri { return truth(slices.Contains(all, x(e))) }
		}
		return constant(unknown)
	}
	path, ok := pathOf(b)
	x := textOf(a)
	if !ok || x == nil {
		return constant(unknown)
	}
	if list := lists[path]; list != nil {
		return func(e *audit.Event) tri { return truth(slices.Contains(list(e), x(e))) }
	}
	if path == "annotations" {
		return func(e *audit.Event) tri {
			_, found := e.Annotations[x(e)]
			return truth(found)
		}
	}
	return constant(unknown)
}

// member compiles startsWith and the like.
func member(c ast.CallExpr) predicate {
	s, ok := literal(c.Args()[0])
	if !ok {
		return constant(unknown)
	}
	f, fold := folded(c.Target())
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
		return func(e *audit.Event) tri { return truth(holds(f(e), s)) }
	case c.FunctionName() == "matches" && !fold:
		if re, err := regexp.Compile(s); err == nil {
			return func(e *audit.Event) tri { return truth(re.MatchString(f(e))) }
		}
	}
	return constant(unknown)
}

// folded is a text, and whether lowerAscii() is taken of it.
func folded(e ast.Expr) (f text, fold bool) {
	if e.Kind() == ast.CallKind {
		if c := e.AsCall(); c.IsMemberFunction() && c.FunctionName() == "lowerAscii" && len(c.Args()) == 0 {
			return textOf(c.Target()), true
		}
		return nil, false
	}
	return textOf(e), false
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

package rego

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Parameters are spec.parameters of a constraint as its template sees them; nil are {}.
func Parameters(content any) (*ast.Term, error) {
	if content == nil {
		content = map[string]any{}
	}
	return Term(content)
}

// Term is content of Kubernetes as Rego sees it where it has not been sent: with whole
// numbers as they are.
func Term(content any) (*ast.Term, error) {
	v, err := ast.InterfaceToValue(content)
	if err != nil {
		return nil, err
	}
	return ast.NewTerm(v), nil
}

// Sent is content as Rego sees it when it has been sent to a webhook as JSON, which is how
// Gatekeeper knows a review: a number is a float64, so that 1000000 is written 1e+06, and
// text that is no UTF-8 has a replacement in its place.
func Sent(content any) (*ast.Term, error) {
	v, err := sent(content)
	if err != nil {
		return nil, err
	}
	return ast.NewTerm(v), nil
}

func sent(content any) (ast.Value, error) {
	switch x := content.(type) {
	case nil:
		return ast.NullValue, nil
	case bool:
		return ast.InternedTerm(x).Value, nil
	case string:
		return ast.String(valid(x)), nil
	case int64:
		return number(float64(x)), nil
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("the number %v is not one of JSON", x)
		}
		return number(x), nil
	case []any:
		if x == nil {
			return ast.NullValue, nil
		}
		terms, pointers := make([]ast.Term, len(x)), make([]*ast.Term, len(x))
		for i, one := range x {
			v, err := sent(one)
			if err != nil {
				return nil, err
			}
			terms[i].Value, pointers[i] = v, &terms[i]
		}
		return ast.NewArray(pointers...), nil
	case map[string]any:
		if x == nil {
			return ast.NullValue, nil
		}
		terms, pairs := make([]ast.Term, 2*len(x)), make([][2]*ast.Term, 0, len(x))
		for key, one := range x {
			v, err := sent(one)
			if err != nil {
				return nil, err
			}
			i := 2 * len(pairs)
			terms[i].Value, terms[i+1].Value = ast.String(valid(key)), v
			pairs = append(pairs, [2]*ast.Term{&terms[i], &terms[i+1]})
		}
		return ast.NewObject(pairs...), nil
	case ast.Value:
		return x, nil
	}
	// What is rare in a review, such as the lists of text of a user's extra, is sent.
	data, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	var received any
	if err := json.Unmarshal(data, &received); err != nil {
		return nil, err
	}
	return sent(received)
}

// number writes small whole numbers, which are nearly all, without making a text of them.
func number(x float64) ast.Value {
	if whole := int(x); whole >= 0 && whole < 512 && float64(whole) == x && !math.Signbit(x) {
		return ast.InternedTerm(whole).Value
	}
	return ast.Number(strconv.FormatFloat(x, 'g', -1, 64))
}

// valid has a replacement for each byte that is not of UTF-8, as JSON's encoder has.
func valid(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return string([]rune(text))
}

package abac

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// Error is what is wrong with a line of a policy file.
type Error struct {
	File string
	Line int // from 1
	// Problem says what is wrong, and quotes a name from the line at most.
	Problem string
	// Mend says what to do about it.
	Mend string
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Problem) }

// Hint is what to do about it.
func (e *Error) Hint() string { return e.Mend }

const form = `write each policy as one JSON object on a line of its own: {"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"NAME","namespace":"*","resource":"*","apiGroup":"*"}}`

// diagnose says what is wrong with a line that could not be decoded. The errors of
// the decoder quote the line and speak of Go types, so the line is read once more
// for what a person wants to know.
func diagnose(line []byte) (problem, mend string) {
	if !utilyaml.IsJSONBuffer(line) {
		return "not a JSON object", form
	}
	var head metav1.TypeMeta
	if problem, mend = misfit(json.Unmarshal(line, &head)); problem != "" {
		return problem, mend
	}
	version, err := schema.ParseGroupVersion(head.APIVersion)
	if err != nil {
		return fmt.Sprintf("apiVersion %s is not GROUP/VERSION", short(head.APIVersion)), form
	}
	versions := map[schema.GroupVersion]any{
		{}: &v0Policy{}, {Group: groupName, Version: "v0"}: &v0Policy{}, {Group: groupName, Version: "v1beta1"}: &v1beta1Policy{},
	}
	body, own := versions[version]
	switch {
	case own && head.Kind == "" && !version.Empty():
		return "kind is missing", `add "kind":"Policy"`
	case own && (head.Kind == "" || head.Kind == kindName):
		if problem, mend = misfit(json.Unmarshal(line, body)); problem != "" {
			return problem, mend
		}
	}
	return fmt.Sprintf("kind %s of apiVersion %s is no ABAC policy", short(head.Kind), short(head.APIVersion)), form
}

// misfit puts an error of encoding/json into words; it is empty for none.
func misfit(err error) (problem, mend string) {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("not JSON: %v, at byte %d", syntax, syntax.Offset), form
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		value, _, _ := strings.Cut(wrong.Value, " ") // a number is followed by what it is
		return fmt.Sprintf("%s must be %s, and is %s", wrong.Field, kinds[wrong.Type.Kind()], value),
			"correct the type of " + wrong.Field
	}
	return "", ""
}

var kinds = map[reflect.Kind]string{reflect.String: "a string", reflect.Bool: "true or false", reflect.Struct: "an object"}

// short quotes a name from the file, cut where it is longer than names are.
func short(name string) string { return strconv.Quote(cut(name)) }

// cut is text that may hold much of a line, without most of it.
func cut(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

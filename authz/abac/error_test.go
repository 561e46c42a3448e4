package abac

import (
	"errors"
	"strings"
	"testing"
)

func TestErrorsNameTheLineAndTheMend(t *testing.T) {
	const v1beta1 = `"apiVersion":"abac.authorization.kubernetes.io/v1beta1"`
	const addKind, oneObject, tooLong = `add "kind":"Policy"`, form, "split it: each policy is one JSON object on a line of its own"
	for _, test := range []struct{ line, problem, mend string }{
		{`{ not a policy`, `not JSON: invalid character 'n' looking for beginning of object key string, at byte 3`, oneObject},
		{`{"user":"ann"`, `not JSON: unexpected end of JSON input, at byte 13`, oneObject},
		{`{"user":"ann"},`, `not JSON: invalid character ',' after top-level value, at byte 15`, oneObject},
		{`{"user":"ann"}{"user":"bob"}`, `not JSON: invalid character '{' after top-level value, at byte 15`, oneObject},
		{`hunter2,ann,1`, `not a JSON object`, oneObject},
		{`[{"user":"ann"}]`, `not a JSON object`, oneObject},
		{"k8s\x00", `not a JSON object`, oneObject},
		{`{"user":1}`, `user must be a string, and is number`, `correct the type of user`},
		{`{"kind":["Policy"]}`, `kind must be a string, and is array`, `correct the type of kind`},
		{`{"apiVersion":1.5}`, `apiVersion must be a string, and is number`, `correct the type of apiVersion`},
		{`{` + v1beta1 + `,"kind":"Policy","spec":{"readonly":"true"}}`, `spec.readonly must be true or false, and is string`, `correct the type of spec.readonly`},
		{`{` + v1beta1 + `,"kind":"Policy","user":1,"spec":{"group":{}}}`, `spec.group must be a string, and is object`, `correct the type of spec.group`},
		{`{` + v1beta1 + `,"kind":"Policy","spec":"ann"}`, `spec must be an object, and is string`, `correct the type of spec`},
		{`{` + v1beta1 + `,"spec":{"user":"ann"}}`, `kind is missing`, addKind},
		{`{` + v1beta1 + `,"kind":"PolicyList"}`, `kind "PolicyList" of apiVersion "abac.authorization.kubernetes.io/v1beta1" is no ABAC policy`, oneObject},
		{`{"apiVersion":"v1","kind":"Pod"}`, `kind "Pod" of apiVersion "v1" is no ABAC policy`, oneObject},
		{`{"apiVersion":"a/b/c","kind":"Policy"}`, `apiVersion "a/b/c" is not GROUP/VERSION`, oneObject},
		{`{"kind":"` + strings.Repeat("x", 1000) + `"}`, `kind "` + strings.Repeat("x", 64) + `…" of apiVersion "" is no ABAC policy`, oneObject},
		{`#` + strings.Repeat("x", 65535), `the line is too long: at most 65535 bytes`, tooLong},
	} {
		data := "# comment\n\n{\"user\":\"ann\"}\n" + test.line + "\n{\n"
		policies, err := Parse("policies.jsonl", []byte(data))
		var hinted interface{ Hint() string }
		if !errors.As(err, &hinted) || policies != nil {
			t.Errorf("%.100s: %v, %v", test.line, policies, err)
			continue
		}
		if want := "policies.jsonl:4: " + test.problem; err.Error() != want {
			t.Errorf("%.100s\n got %s\nwant %s", test.line, err, want)
		}
		if hinted.Hint() != test.mend {
			t.Errorf("%.100s: hint %s", test.line, hinted.Hint())
		}
	}
}

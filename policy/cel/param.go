package cel

import (
	"encoding/json"
	"errors"
	"math"

	"github.com/google/cel-go/common/types/ref"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// param is an object that is given to CEL as it is. Upstream writes an unstructured
// one as JSON and reads it again for every group of expressions.
type param struct {
	unstructured.Unstructured
	content map[string]any
	// value is what CEL makes of it, and parameters the variable params of templates:
	// of constraints, whose content does not change.
	value      ref.Val
	parameters computed
}

var _ runtime.Object = &param{}

func newParam(content map[string]any) *param {
	p := &param{content: content}
	p.Object = content
	if hasWholeFloat(content) {
		p.content = throughJSON(content)
	}
	return p
}

// ToUnstructured is what upstream's CEL adapter asks for first.
func (p *param) ToUnstructured() any { return p.content }

// MarshalJSON is not asked for.
func (p *param) MarshalJSON() ([]byte, error) { return nil, errors.New("a param is not written") }

// UnmarshalJSON is not asked for.
func (p *param) UnmarshalJSON([]byte) error { return errors.New("a param is not read") }

// DeepCopyObject implements runtime.Object.
func (p *param) DeepCopyObject() runtime.Object {
	return newParam(runtime.DeepCopyJSON(p.Object))
}

func (p *param) kind() schema.GroupVersionKind { return p.GroupVersionKind() }

// hasWholeFloat reports whether a number such as 1.0 is in there: through JSON, as
// upstream reads it, it becomes an integer.
func hasWholeFloat(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		for _, one := range v {
			if hasWholeFloat(one) {
				return true
			}
		}
	case []any:
		for _, one := range v {
			if hasWholeFloat(one) {
				return true
			}
		}
	case float64:
		return v == math.Trunc(v)
	}
	return false
}

func throughJSON(content map[string]any) map[string]any {
	text, err := json.Marshal(content)
	if err != nil {
		return content
	}
	var read map[string]any
	if utiljson.Unmarshal(text, &read) != nil {
		return content
	}
	return read
}

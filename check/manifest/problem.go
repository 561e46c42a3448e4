package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
)

// problems collects what could not be read.
type problems struct {
	list v1alpha1.FieldErrorList
	more int // how many were not kept
}

func (p *problems) add(e *v1alpha1.FieldError, most int) {
	if len(p.list) < most {
		p.list = append(p.list, e)
	} else {
		p.more++
	}
}

// orNil is everything in the order of files and lines; nil where nothing is wrong.
func (p *problems) orNil(most int) error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b *v1alpha1.FieldError) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	if p.more > 0 {
		return append(p.list, &v1alpha1.FieldError{Message: fmt.Sprintf("and %d more", p.more)})
	}
	return p.list
}

// oneLine is a message of a library, which may span lines and be long, as one line.
func oneLine(text string) string {
	const longest = 500
	text = strings.Join(strings.Fields(gate.Plain(text)), " ")
	if r := []rune(text); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return text
}

func schemaKind(apiVersion, kind string) schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(apiVersion, kind)
}

package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// problems collects what is wrong with files. It is safe for concurrent use.
type problems struct {
	most int // how many are kept; those of the last files may be the ones left out

	mu   sync.Mutex
	list v1alpha1.FieldErrorList
	more int // how many were not kept
}

func (p *problems) add(e *v1alpha1.FieldError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.list) < p.most {
		p.list = append(p.list, e)
	} else {
		p.more++
	}
}

// in reports whether something is wrong with a file.
func (p *problems) in(file string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.more > 0 || slices.ContainsFunc(p.list, func(e *v1alpha1.FieldError) bool { return e.File == file })
}

// err is everything, in the order of files and lines; nil where nothing is wrong.
func (p *problems) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b *v1alpha1.FieldError) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	if p.more > 0 {
		return append(slices.Clone(p.list), &v1alpha1.FieldError{Message: fmt.Sprintf("and %d more", p.more)})
	}
	return slices.Clone(p.list)
}

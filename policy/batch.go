package policy

import (
	"context"
	"time"
)

// batch is validators that are asked together about a request.
type batch struct {
	of     any
	places []int // among those that match
	// answers are what each said, took what all of them took.
	answers map[Validator][]Result
	took    time.Duration
	// unsettled is the request's, once they have answered.
	unsettled bool
}

// askBatches asks those who are asked together, but for those that are known to have
// nothing to say. Where one of the others does say something all are asked, and none of
// them is known any more: what goes wrong in one evaluation may be for each to say.
func (s *Set) askBatches(ctx context.Context, r *Request, matching []*judge, known []bool) []*batch {
	var batches []*batch
	for i, j := range matching {
		if of, ok := j.Validator.(Batcher); ok {
			key := of.Batch()
			b := batchOf(batches, key)
			if b == nil {
				b = &batch{of: key}
				batches = append(batches, b)
			}
			b.places = append(b.places, i)
		}
	}
	for _, b := range batches {
		var unknown []int
		for _, i := range b.places {
			if !known[i] {
				unknown = append(unknown, i)
			}
		}
		if len(unknown) == 0 || !b.ask(ctx, s, r, matching, unknown) || len(unknown) == len(b.places) {
			continue
		}
		for _, i := range b.places {
			known[i] = false
		}
		b.ask(ctx, s, r, matching, b.places)
	}
	return batches
}

func batchOf(all []*batch, key any) *batch {
	for _, b := range all {
		if b.of == key {
			return b
		}
	}
	return nil
}

// ask reports whether one of them says something.
func (b *batch) ask(ctx context.Context, s *Set, r *Request, matching []*judge, places []int) (said bool) {
	together := make([]Validator, len(places))
	for n, i := range places {
		together[n] = matching[i].Validator
	}
	began := s.opts.Now()
	r.unsettled = false
	b.answers = make(map[Validator][]Result, len(together))
	for n, results := range several(ctx, together[0].(Batcher), r, together) {
		b.answers[together[n]] = results
		said = said || len(results) > 0
	}
	b.took, b.unsettled = s.opts.Now().Sub(began), r.unsettled
	return said
}

// answer is what one of them said. The first that is asked for it has taken all the time.
func (b *batch) answer(v Validator) (results []Result, took time.Duration) {
	took, b.took = b.took, 0
	return b.answers[v], took
}

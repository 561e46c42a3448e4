package gate

import (
	"context"
	"slices"
	"sync"
)

// Recorder collects the steps of one request. The zero value is ready; a nil
// Recorder records nothing. It is safe for concurrent use.
type Recorder struct {
	// All asks every part of a gate for its opinion, also after one has decided. Only a
	// review sets it, whose request is not made: nothing counts as used by it.
	All bool

	mu    sync.Mutex
	steps []Step
}

type recorderKey struct{}

// WithRecorder returns a context in which gates record into r.
func WithRecorder(ctx context.Context, r *Recorder) context.Context {
	return context.WithValue(ctx, recorderKey{}, r)
}

// RecorderFrom is the context's Recorder, or nil.
func RecorderFrom(ctx context.Context) *Recorder {
	r, _ := ctx.Value(recorderKey{}).(*Recorder)
	return r
}

// Record adds a step. The Recorder keeps it as it is.
func (r *Recorder) Record(s Step) {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.steps = append(r.steps, s)
	r.mu.Unlock()
}

// Steps are the steps so far, in the order they were recorded.
func (r *Recorder) Steps() []Step {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.steps)
}

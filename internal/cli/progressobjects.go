package cli

import (
	"fmt"
	"sync/atomic"
	"time"
)

// judgedObjects is how far a check is. It is written by the check, and read by what tells
// a terminal.
type judgedObjects struct {
	begun time.Time
	// found are the objects that were read, and done those that have been judged.
	found, done atomic.Int64
	// total is how many there are to judge, and read how many nanoseconds it took to know
	// that; both are 0 until then.
	total, read atomic.Int64
}

// begin says that every object has been found, and is judged from now on.
func (j *judgedObjects) begin() {
	j.read.Store(int64(time.Since(j.begun)))
	j.total.Store(j.found.Load())
}

// line is at most 80 characters: a count while objects are found, and a bar from then on.
func (j *judgedObjects) line(took time.Duration) string {
	total := j.total.Load()
	if total == 0 {
		return fmt.Sprintf("reading: %d objects, %v so far", j.found.Load(), took.Round(time.Second))
	}
	done := j.done.Load()
	return drawn(done, total, took-time.Duration(j.read.Load()), fmt.Sprintf("%d of %d objects judged", done, total))
}

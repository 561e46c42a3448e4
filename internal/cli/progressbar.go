package cli

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// progressBar draws how much of total has been read, and how many events that were, on a
// terminal, once it takes longer than quiet. A total of 0 is one that nobody knows.
func progressBar(w io.Writer, read, total, events *atomic.Int64) (done func()) {
	return tell(w, func(took time.Duration) string { return bar(read.Load(), total.Load(), events.Load(), took) })
}

// bar is a line of at most 80 characters.
func bar(read, total, events int64, took time.Duration) string {
	seconds := max(took.Seconds(), 0.001)
	return drawn(read, total, took, fmt.Sprintf("%d events, %.0f a second", events, float64(events)/seconds))
}

// drawn is a bar of how much of total is done, followed by what is told and how long the
// rest takes. Where total is 0 it is what is told alone.
func drawn(done, total int64, took time.Duration, told string) string {
	if total <= 0 {
		return told
	}
	seconds := max(took.Seconds(), 0.001)
	const width = 24
	part := min(max(float64(done)/float64(total), 0), 1)
	full := int(part * width)
	line := fmt.Sprintf("[%s%s] %3.0f%%  %s", strings.Repeat("#", full), strings.Repeat(".", width-full), part*100, told)
	if part > 0.01 {
		line += fmt.Sprintf(", %v left", time.Duration(seconds/part*(1-part)*float64(time.Second)).Round(time.Second))
	}
	return line
}

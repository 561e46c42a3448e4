package cli

import (
	"fmt"
	"io"
	"os"
	"time"
)

// quiet is how long something may take before a terminal is told.
const quiet = 2 * time.Second

// progress tells a terminal what takes so long, until done is called.
func progress(w io.Writer, what string) (done func()) {
	return tell(w, func(took time.Duration) string { return fmt.Sprintf("%s, %v so far", what, took.Round(time.Second)) })
}

// tell writes a line on a terminal, anew every moment, once something takes longer than
// quiet, and until done is called.
func tell(w io.Writer, line func(took time.Duration) string) (done func()) {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		return func() {}
	}
	return redraw(f, line)
}

// redraw is tell on what is known to be a terminal.
func redraw(w io.Writer, line func(took time.Duration) string) (done func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		begun := time.Now()
		tick := time.NewTicker(time.Second / 4)
		defer tick.Stop()
		shown := false
		for {
			select {
			case <-stop:
				if shown {
					fmt.Fprint(w, "\r\x1b[K")
				}
				return
			case now := <-tick.C:
				if took := now.Sub(begun); took >= quiet {
					shown = true
					fmt.Fprintf(w, "\r%s\x1b[K", line(took))
				}
			}
		}
	}()
	return func() { close(stop); <-stopped }
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

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
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		begun := time.Now()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		shown := false
		for {
			select {
			case <-stop:
				if shown {
					fmt.Fprint(f, "\r\x1b[K")
				}
				return
			case now := <-tick.C:
				if now.Sub(begun) >= quiet {
					shown = true
					fmt.Fprintf(f, "\r%s, %v so far\x1b[K", what, now.Sub(begun).Round(time.Second))
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

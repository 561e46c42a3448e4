package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A terminal is told nothing for two seconds, then anew every moment, and the line is
// gone in the end.
func TestRedraw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		done := redraw(&out, func(took time.Duration) string { return fmt.Sprint("at ", took) })
		time.Sleep(quiet - time.Millisecond)
		synctest.Wait()
		if out.Len() > 0 {
			t.Errorf("it tells %q at once", out.String())
		}
		time.Sleep(time.Second / 2)
		synctest.Wait()
		done()
		if got, want := out.String(), "\rat 2s\x1b[K\rat 2.25s\x1b[K\r\x1b[K"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		done := redraw(&out, func(time.Duration) string { return "x" })
		time.Sleep(time.Second)
		done()
		if out.Len() > 0 {
			t.Errorf("of what is quick it tells %q", out.String())
		}
	})
}

// Only a terminal is told: no file, and nothing in memory.
func TestTellTerminals(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, c := range []struct {
		name string
		w    io.Writer
		told bool
	}{{"file", file, false}, {"memory", &bytes.Buffer{}, false}, {"device", null, true}} {
		synctest.Test(t, func(t *testing.T) {
			lines := 0
			done := tell(c.w, func(time.Duration) string { lines++; return "x" })
			time.Sleep(2 * quiet)
			synctest.Wait()
			done()
			if (lines > 0) != c.told {
				t.Errorf("%s: it is told %d lines", c.name, lines)
			}
		})
	}
	if info, err := file.Stat(); err != nil || info.Size() > 0 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestJudgedLine(t *testing.T) {
	for _, c := range []struct {
		found, done, total int64
		want               string
	}{
		{1200, 0, 0, "reading: 1200 objects, 10s so far"},
		{200, 50, 200, "[######..................]  25%  50 of 200 objects judged, 18s left"},
		{200, 200, 200, "[########################] 100%  200 of 200 objects judged, 0s left"},
		{123456789, 0, 123456789, "[........................]   0%  0 of 123456789 objects judged"},
	} {
		j := &judgedObjects{}
		j.found.Store(c.found)
		j.done.Store(c.done)
		j.total.Store(c.total)
		j.read.Store(int64(4 * time.Second))
		if got := j.line(10 * time.Second); got != c.want || len(got) > tableWidth {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// What a check tells of itself are the objects that it judges: none twice, and no policy.
func TestCheckCountsWhatItJudges(t *testing.T) {
	var text strings.Builder
	for i := range 150 {
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\n", i)
	}
	t.Chdir(files(t, map[string]string{"all/maps.yaml": text.String(), "all/web.yaml": shop, "all/two.yaml": twoReplicas}))
	c := &checking{checkFlags: &checkFlags{}, paths: []string{"all"}, catalog: builtInCatalog(), judged: judgedObjects{begun: time.Now()}}
	if err := c.check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found, done, total := c.judged.found.Load(), c.judged.done.Load(), c.judged.total.Load(); found != 151 || total != 151 || done != 151 || c.report.Checked != 151 {
		t.Errorf("found %d, judged %d of %d, reported %d: want 151", found, done, total, c.report.Checked)
	}
}

package page

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	markBegin = "<!-- bench-x:begin -->"
	markEnd   = "<!-- bench-x:end -->"
)

func TestReplaceSection(t *testing.T) {
	for _, c := range []struct{ name, page, want, err string }{
		{
			name: "what stands around the marks stays",
			page: "# P\r\n\nabove\n" + markBegin + "\nold\n" + markEnd + "\nbelow \n",
			want: "# P\r\n\nabove\n" + markBegin + "\nnew\n" + markEnd + "\nbelow \n",
		},
		{
			name: "no marks",
			page: "# P\n",
			want: "# P\n\n" + markBegin + "\nnew\n" + markEnd + "\n",
		},
		{name: "no end", page: markBegin, err: "must have"},
		{name: "no begin", page: markEnd, err: "must have"},
		{name: "wrong order", page: markEnd + markBegin, err: "must have"},
	} {
		got, err := replaceSection(c.page, markBegin, markEnd, "new\n\n")
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want one that says %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestRewritePageTwiceIsTheSamePage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "docs", "performance.md")
	var pages [2]string
	for i := range pages {
		if err := Rewrite(path, "bench-x", "numbers"); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pages[i] = string(data)
	}
	want := "# Performance\n\n" + markBegin + "\nnumbers\n" + markEnd + "\n"
	if pages[0] != want || pages[1] != want {
		t.Errorf("got %q, then %q, want %q", pages[0], pages[1], want)
	}
}

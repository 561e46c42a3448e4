// Package page writes what a benchmark measured into its part of a page of the
// documentation, between marks of its own, and leaves the rest of the page alone.
package page

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Rewrite puts a section between the marks of a benchmark's name, and makes the
// page when it is not there.
func Rewrite(path, name, section string) error {
	begin, end := "<!-- "+name+":begin -->", "<!-- "+name+":end -->"
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		data = []byte("# Performance\n")
	} else if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	page, err := replaceSection(string(data), begin, end, section)
	if err != nil {
		return fmt.Errorf("rewrite %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the page's folder: %w", err)
	}
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// replaceSection replaces what stands between the marks and nothing else. A
// page without marks gets them at its end; a page with only one of them, or
// with them in the wrong order, is refused.
func replaceSection(page, markBegin, markEnd, section string) (string, error) {
	begin, end := strings.Index(page, markBegin), strings.Index(page, markEnd)
	block := markBegin + "\n" + strings.TrimSpace(section) + "\n" + markEnd
	switch {
	case begin < 0 && end < 0:
		return strings.TrimRight(page, "\n") + "\n\n" + block + "\n", nil
	case begin < 0 || end < begin:
		return "", fmt.Errorf("the page must have %s and after it %s", markBegin, markEnd)
	}
	return page[:begin] + block + page[end+len(markEnd):], nil
}

// Machine says on what something was measured.
func Machine() string {
	return fmt.Sprintf("%d cores, %s, %s/%s", runtime.NumCPU(), cpuModel(), runtime.GOOS, runtime.GOARCH)
}

// cpuModel names the processor as Linux does.
func cpuModel() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// LoadAverage is the machine's load over the last minute, as Linux counts it.
func LoadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	load, _, _ := strings.Cut(string(data), " ")
	return load
}

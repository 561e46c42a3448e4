package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The marks around the part of the page that belongs to this command.
const (
	markBegin = "<!-- bench-serve:begin -->"
	markEnd   = "<!-- bench-serve:end -->"
)

// emptyPage is what a page starts as.
const emptyPage = "# Performance\n\n" + markBegin + "\n" + markEnd + "\n"

// rewritePage puts the section between the marks of the page, and makes the
// page when it is not there.
func rewritePage(path, section string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		data = []byte(emptyPage)
	} else if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	page, err := replaceSection(string(data), section)
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
func replaceSection(page, section string) (string, error) {
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

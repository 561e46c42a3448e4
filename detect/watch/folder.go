package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
)

// folder are the rules and Mutes of Options.RulesDir. It does not change.
type folder struct {
	set   *detect.Set
	mutes []*v1alpha1.Mute
	// looks is what the files looked like when they were read.
	looks string
}

// openFolder reads a folder. The error says file and line.
func openFolder(ctx context.Context, dir string) (*folder, error) {
	looks, err := looksOf(dir)
	if err != nil {
		return nil, fmt.Errorf("read detection rules: %w", err)
	}
	files, err := detect.ReadFiles(ctx, []string{dir}, nil)
	if err != nil {
		return nil, err
	}
	set, problems := detect.Compile(files.Rules, detect.Options{})
	if err := files.Locate(problems); err != nil {
		return nil, err
	}
	return &folder{set, files.Mutes, looks}, nil
}

// looksOf changes where a file of the folder does.
func looksOf(dir string) (string, error) {
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has just been removed
		}
		if err == nil {
			fmt.Fprintf(&out, "%s\t%d\t%d\n", path, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	return out.String(), err
}

// reread reads the folder where it looks different, and reports whether other rules or
// Mutes are in force by it. Rules that cannot be read leave those before in force.
func (b *rulebook) reread(ctx context.Context) (changed bool, err error) {
	if b.folder == nil {
		return false, nil
	}
	looks, err := looksOf(b.o.RulesDir)
	b.mu.Lock()
	same := err == nil && looks == b.folder.looks
	b.mu.Unlock()
	if same {
		return false, nil
	}
	var next *folder
	if err == nil {
		next, err = openFolder(ctx, b.o.RulesDir)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		before := *b.folder
		before.looks = looks // it is said once
		b.folder = &before
		return false, err
	}
	b.folder = next
	b.join()
	return true, nil
}

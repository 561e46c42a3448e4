package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/ignore"
)

// mostChart is the size of the largest chart, and mostChartFile of a file in it:
// the sizes at which helm gives up on an archive.
const (
	mostChart     = 100 << 20
	mostChartFile = 5 << 20
)

// chartFiles reads the folder of a chart. Helm follows symbolic links wherever they
// lead; a template could so print any file of this machine.
func chartFiles(dir string, anyFile bool) ([]*archive.BufferedFile, error) {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	rules := ignore.Empty()
	if data, err := readFile(filepath.Join(root, ignore.HelmIgnore), mostChartFile); err == nil {
		if rules, err = ignore.Parse(bytes.NewReader(data)); err != nil {
			return nil, fmt.Errorf("%s: %w", ignore.HelmIgnore, err)
		}
	}
	rules.AddDefaults()
	w := chartWalk{root: root, rules: rules, anyFile: anyFile, left: mostChart}
	err = w.folder(root, "", 0)
	return w.files, err
}

type chartWalk struct {
	root    string
	rules   *ignore.Rules
	anyFile bool
	files   []*archive.BufferedFile
	left    int
}

func (w *chartWalk) folder(dir, name string, depth int) error {
	const deepest = 32 // links may lead around in circles
	if depth > deepest {
		return fmt.Errorf("%s: its folders are nested too deeply", name)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		at, inner := filepath.Join(dir, entry.Name()), path.Join(name, entry.Name())
		info, err := os.Stat(at)
		if err != nil {
			return fmt.Errorf("%s: %s", inner, reason(err))
		}
		if w.rules.Ignore(inner, info) {
			continue
		}
		if entry.Type()&fs.ModeSymlink != 0 && !w.anyFile {
			real, err := filepath.EvalSymlinks(at)
			if err != nil {
				return fmt.Errorf("%s: %s", inner, reason(err))
			}
			if rel, err := filepath.Rel(w.root, real); err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
				return fmt.Errorf("%s: it is a link that leads out of the chart", inner)
			}
		}
		if info.IsDir() {
			if err := w.folder(at, inner, depth+1); err != nil {
				return err
			}
			continue
		}
		data, err := readFile(at, mostChartFile)
		if err != nil {
			return fmt.Errorf("%s: %s", inner, reason(err))
		}
		if w.left -= len(data); w.left < 0 {
			return errors.New("it is too large")
		}
		w.files = append(w.files, &archive.BufferedFile{Name: inner, ModTime: info.ModTime(), Data: bytes.TrimPrefix(data, []byte("\ufeff"))})
	}
	return nil
}

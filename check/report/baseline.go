package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"
)

// Baseline is the findings that are known: they count for nothing until they are
// mended. One is known as often as it was found when the baseline was written.
type Baseline struct {
	APIVersion string  `json:"apiVersion"`
	Kind       string  `json:"kind"`
	Findings   []Known `json:"findings"`
}

// Known is a finding of a baseline. Only the fingerprint is compared; the rest is for
// those who read the file.
type Known struct {
	Fingerprint string `json:"fingerprint"`
	Count       int    `json:"count"`
	Rule        string `json:"rule"`
	File        string `json:"file,omitempty"`
	Object      string `json:"object,omitempty"`
	Message     string `json:"message"`
}

const baselineVersion, baselineKind = "gatehouse.io/v1alpha1", "CheckBaseline"

// ReadBaseline reads a file.
func ReadBaseline(file string) (*Baseline, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	b := &Baseline{}
	if err := yaml.UnmarshalStrict(data, b); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if b.Kind != baselineKind || b.APIVersion != baselineVersion {
		return nil, fmt.Errorf("%s: it is no %s of %s", file, baselineKind, baselineVersion)
	}
	return b, nil
}

// Apply marks the findings that are known, and returns how many of the baseline were
// not found any more.
func (b *Baseline) Apply(r *Report) (stale int) {
	left := map[string]int{}
	for _, k := range b.Findings {
		left[k.Fingerprint] += max(k.Count, 1)
	}
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Excepted == "" && left[f.Fingerprint] > 0 {
			left[f.Fingerprint]--
			f.Known = true
		}
	}
	for _, n := range left {
		stale += n
	}
	return stale
}

// WriteBaseline writes the findings of a report as known ones, over what the file has,
// and returns how many they are.
func WriteBaseline(file string, r *Report) (n int, err error) {
	b := &Baseline{APIVersion: baselineVersion, Kind: baselineKind, Findings: []Known{}}
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.Excepted != "" || f.Action == "" {
			continue
		}
		n++
		if at := slices.IndexFunc(b.Findings, func(k Known) bool { return k.Fingerprint == f.Fingerprint }); at >= 0 {
			b.Findings[at].Count++
			continue
		}
		b.Findings = append(b.Findings, Known{f.Fingerprint, 1, f.Rule, f.File, f.object(), f.Message})
	}
	data, err := json.Marshal(b)
	if err != nil {
		return 0, err
	}
	if data, err = yaml.JSONToYAML(data); err != nil {
		return 0, err
	}
	return n, replace(file, data)
}

// replace writes a file whole or not at all.
func replace(file string, data []byte) error {
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(file); err == nil {
		mode = info.Mode().Perm()
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		os.Remove(temporary.Name())
	}
	return err
}

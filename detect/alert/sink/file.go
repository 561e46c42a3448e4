package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// file is a sink: a line of JSON for each Alert.
type file struct{ settings v1alpha1.FileSink }

func (s *file) Traits() alert.Traits {
	return alert.Traits{Type: "file", Name: s.settings.Path, Batch: 100, Least: s.settings.MinSeverity}
}

// Send appends the lines, and forces them to the disk. The file is opened each time, so
// that one that was renamed is left alone.
func (s *file) Send(_ context.Context, alerts []alert.Alert) (err error) {
	var text []byte
	for i := range alerts {
		line, err := jsonText(&alerts[i])
		if err != nil {
			return fmt.Errorf("write alerts: %w", err)
		}
		text = append(append(text, line...), '\n')
	}
	f, err := os.OpenFile(s.settings.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write alerts: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	torn, err := endsInLine(f)
	if err != nil {
		return fmt.Errorf("write alerts: %w", err)
	}
	if torn {
		text = append([]byte("\n"), text...)
	}
	if _, err := f.Write(text); err != nil {
		return fmt.Errorf("write alerts: %w", err)
	}
	if err := f.Sync(); err != nil && !errors.Is(err, os.ErrInvalid) {
		return fmt.Errorf("write alerts: %w", err)
	}
	return nil
}

// endsInLine reports whether a file ends within a line, as when the machine went down.
func endsInLine(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return last[0] != '\n', nil
}

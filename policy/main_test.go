package policy

import (
	"log/slog"
	"os"
	"testing"

	"k8s.io/klog/v2"
)

// Policies panic here on purpose, many times.
func TestMain(m *testing.M) {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

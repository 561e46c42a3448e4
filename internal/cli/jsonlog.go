package cli

import (
	"log/slog"
	"os"

	"k8s.io/klog/v2"
)

// useJSON sends everything klog is told to stderr as one JSON object a line.
// klog hands warnings on as information, so the level warning shows both.
func useJSON(level string) {
	least := slog.LevelInfo
	switch level {
	case "error":
		least = slog.LevelError
	case "debug":
		least = slog.LevelDebug - 10 // klog's V(5) arrives as -5
	}
	klog.SetSlogLogger(slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: least})))
}

package main

import (
	"slices"
	"testing"
	"time"
)

// sorted makes sorted latencies of the given nanoseconds.
func sorted(ns ...time.Duration) []time.Duration {
	slices.Sort(ns)
	return ns
}

func TestParseStat(t *testing.T) {
	// A command may hold spaces and brackets; fields are counted after it.
	stat := "42 (kube) api (x)) S 1 42 42 0 -1 4194560 5 0 0 0 250 50 0 0 20 0 9 0 100 1 2"
	got, err := parseStat(stat)
	if err != nil || got != 3*time.Second {
		t.Errorf("got %v, %v, want 3s", got, err)
	}
	for _, bad := range []string{"", "42 (x) S 1", "42 (x) S 1 42 42 0 -1 4194560 5 0 0 0 x 50 0"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("parseStat(%q) found nothing wrong", bad)
		}
	}
}

func TestParseKB(t *testing.T) {
	text := "Name:\tetcd\nVmRSS:\t  1024 kB\nRssAnon:\t 512 kB\n"
	if got, err := parseKB(text, "VmRSS"); err != nil || got != 1<<20 {
		t.Errorf("got %d, %v, want 1 MiB", got, err)
	}
	if _, err := parseKB(text, "Pss"); err == nil {
		t.Error("a field that is not there was read")
	}
}

package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var testFocus = regexp.MustCompile(`\[sig-auth\]|\[sig-api-machinery\]`)

// skipsOf parses a skip list that the test wrote itself.
func skipsOf(t *testing.T, text string) []skip {
	t.Helper()
	skips, err := parseSkips([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return skips
}

func TestMakePlan(t *testing.T) {
	specs := []string{
		"[sig-auth] CSR works",
		"[sig-auth] a pod mounts a token",
		"[sig-api-machinery] quota counts a pod",
		"[sig-node] a pod runs",
	}
	skips := skipsOf(t, `
- {match: mounts, reason: no kubelet}
- {match: a pod, reason: no pods}
`)
	skips = skips[:1]
	p, err := makePlan(specs, testFocus, skips)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{specs[0], specs[2]}; !slices.Equal(p.run, want) {
		t.Errorf("run %q, want %q", p.run, want)
	}
	if want := []exclusion{{specs[1], "no kubelet"}}; !slices.Equal(p.excluded, want) {
		t.Errorf("excluded %q, want %q", p.excluded, want)
	}
}

func TestMakePlanNamesTheFirstReason(t *testing.T) {
	skips := skipsOf(t, "[{match: pod, reason: first}, {match: mounts, reason: second}]")
	p, err := makePlan([]string{"[sig-auth] a pod mounts", "[sig-auth] x"}, testFocus, skips)
	if err != nil || len(p.excluded) != 1 || p.excluded[0].reason != "first" {
		t.Errorf("got %v, %v", p.excluded, err)
	}
}

func TestMakePlanRefusesAStaleEntry(t *testing.T) {
	_, err := makePlan([]string{"[sig-auth] x"}, testFocus, skipsOf(t, "[{match: gone, reason: r}]"))
	if err == nil || !strings.Contains(err.Error(), `entry 1: no spec matches "gone"`) {
		t.Errorf("got %v", err)
	}
}

func TestMakePlanRefusesAnEmptyRun(t *testing.T) {
	if _, err := makePlan([]string{"[sig-node] x"}, testFocus, nil); err == nil {
		t.Error("a plan that runs nothing was accepted")
	}
}

func TestParseSkipsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"[{match: x}]":                        "entry 1: both match and reason",
		"[{reason: x}]":                       "entry 1: both match and reason",
		"[{match: '(', reason: x}]":           "entry 1: error parsing regexp",
		"[{match: x, reason: y, why: z}]":     "unknown field",
		"[{match: x, reason: y}, {match: z}]": "entry 2: both match and reason",
	} {
		if _, err := parseSkips([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that says %q", text, err, want)
		}
	}
}

func TestFrozenListIsWellFormed(t *testing.T) {
	if _, err := loadSkips(); err != nil {
		t.Error(err)
	}
}

func TestParseList(t *testing.T) {
	got := parseList("The following spec names can be used with 'ginkgo run --focus/skip':\n" +
		"    test/e2e/auth/x.go:12: [sig-auth] a: b [Conformance]\n" +
		"    test/e2e/x.go:3: [sig-node] c\n\n")
	if want := []string{"[sig-auth] a: b [Conformance]", "[sig-node] c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

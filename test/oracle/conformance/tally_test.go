package main

import (
	"slices"
	"strings"
	"testing"
)

func TestCountHoldsThePlanAgainstTheReport(t *testing.T) {
	cases, err := readJUnit("testdata/junit.xml")
	if err != nil {
		t.Fatal(err)
	}
	p := plan{
		run: []string{
			"[sig-auth] good [Conformance]", "[sig-auth] bad", "[sig-auth] slow",
			"[sig-auth] not for this cluster", "[sig-auth] never reached",
		},
		excluded: []exclusion{{"[sig-auth] excluded", "no kubelet"}},
	}
	got := count(p, cases)
	wantFailed := []string{
		"[SynchronizedAfterSuite] (failed)",
		"[sig-auth] bad (failed)",
		"[sig-auth] never reached (not reported)",
		"[sig-auth] slow (timedout)",
	}
	if got.passed != 1 || !slices.Equal(got.failed, wantFailed) || got.excluded != 2 {
		t.Errorf("got %+v", got)
	}
	var out strings.Builder
	got.print(&out)
	want := `conformance: run 5, passed 1, failed 4, excluded 2
failed: [SynchronizedAfterSuite] (failed)
failed: [sig-auth] bad (failed)
failed: [sig-auth] never reached (not reported)
failed: [sig-auth] slow (timedout)
skipped itself: [sig-auth] not for this cluster
`
	if out.String() != want {
		t.Errorf("printed:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestReadJUnitRefusesWhatIsNotAReport(t *testing.T) {
	for _, file := range []string{"testdata/none.xml", "skip.yaml"} {
		if _, err := readJUnit(file); err == nil {
			t.Errorf("%s was read as a report", file)
		}
	}
}

package guard

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		window       string
		open, closed []string
	}{
		{`{days: [Saturday, Sunday]}`,
			[]string{"2026-11-21T00:00:00Z", "2026-11-22T23:59:59Z"}, []string{"2026-11-20T23:59:59Z", "2026-11-23T00:00:00Z"}},
		{`{start: "09:00", end: "17:30"}`,
			[]string{"2026-11-23T09:00:00Z", "2026-11-23T17:29:59Z"}, []string{"2026-11-23T08:59:59Z", "2026-11-23T17:30:00Z"}},
		{`{days: [Friday], start: "18:00"}`,
			[]string{"2026-11-20T18:00:00Z", "2026-11-20T23:59:59Z"}, []string{"2026-11-20T17:59:59Z", "2026-11-21T00:00:00Z"}},
		{`{days: [Friday], start: "22:00", end: "06:00"}`, // the night belongs to the day it begins on
			[]string{"2026-11-20T22:00:00Z", "2026-11-21T05:59:59Z"}, []string{"2026-11-20T05:00:00Z", "2026-11-21T06:00:00Z", "2026-11-21T22:00:00Z", "2026-11-22T03:00:00Z"}},
		{`{days: [Saturday], start: "22:00", end: "06:00"}`, // over the end of the week
			[]string{"2026-11-22T01:00:00Z"}, []string{"2026-11-21T01:00:00Z", "2026-11-23T01:00:00Z"}},
		{`{start: "00:00", end: "24:00"}`, []string{"2026-11-23T00:00:00Z", "2026-11-23T23:59:59Z"}, nil},
		{`{end: "06:00"}`, []string{"2026-11-23T00:00:00Z"}, []string{"2026-11-23T06:00:00Z"}},
		{`{start: "09:00", end: "10:00", timeZone: Europe/Berlin}`, // UTC+1 in winter, +2 in summer
			[]string{"2026-01-05T08:30:00Z", "2026-07-06T07:30:00Z"}, []string{"2026-01-05T09:30:00Z", "2026-07-06T08:30:00Z"}},
		{`{days: [Monday], timeZone: Pacific/Auckland}`, // Monday begins on Sunday, by UTC
			[]string{"2026-07-05T12:00:00Z"}, []string{"2026-07-05T11:59:59Z", "2026-07-06T12:00:00Z"}},
		{`{start: "02:15", end: "02:45", timeZone: Europe/Berlin}`, // an hour that a clock change leaves out, and one that it repeats
			[]string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"}, []string{"2026-03-29T00:59:59Z", "2026-03-29T01:30:00Z"}},
		{`{notBefore: "2026-11-20T18:00:00Z", notAfter: "2026-11-23T06:00:00Z"}`,
			[]string{"2026-11-20T18:00:00Z", "2026-11-23T05:59:59Z"}, []string{"2026-11-20T17:59:59Z", "2026-11-23T06:00:00Z"}},
		{`{notBefore: "2026-11-20T18:00:00Z", start: "09:00"}`,
			[]string{"2026-11-21T09:00:00Z"}, []string{"2026-11-20T10:00:00Z", "2026-11-21T08:00:00Z"}},
	} {
		var spec v1alpha1.GuardWindow
		if err := yaml.UnmarshalStrict([]byte(c.window), &spec); err != nil {
			t.Fatal(err)
		}
		w, err := newWindow(&spec)
		if err != nil {
			t.Fatalf("%s: %v", c.window, err)
		}
		for want, instants := range map[bool][]string{true: c.open, false: c.closed} {
			for _, text := range instants {
				at, err := time.Parse(time.RFC3339, text)
				if err != nil {
					t.Fatal(err)
				}
				if got := w.open(at); got != want {
					t.Errorf("%s: open %v at %s", c.window, got, text)
				}
			}
		}
	}
}

func TestWindowRefuses(t *testing.T) {
	zero := metav1.Time{}
	early, late := metav1.NewTime(monday), metav1.NewTime(monday.Add(time.Hour))
	for want, w := range map[string]v1alpha1.GuardWindow{
		"set at least one":        {TimeZone: "UTC"},
		"notBefore: is not":       {NotBefore: &zero},
		"notAfter: is not":        {NotAfter: &zero},
		"must lie after":          {NotBefore: &late, NotAfter: &early},
		"Local is not the same":   {Start: "09:00", TimeZone: "local"},
		"unknown time zone":       {Start: "09:00", TimeZone: "Mars/Olympus"},
		`"Fri" is not a day`:      {Days: []v1alpha1.GuardDay{"Fri"}},
		`start: "24:00" is not`:   {Start: "24:00"},
		`start: "9:00" is not`:    {Start: "9:00"},
		`end: "24:01" is not`:     {End: "24:01"},
		`end: "12:60" is not`:     {End: "12:60"},
		`end: "1a:00" is not`:     {End: "1a:00"},
		"start and end are":       {Start: "09:00", End: "09:00"},
		"timeZone: time: invalid": {Start: "09:00", TimeZone: "../etc/passwd"},
	} {
		if _, err := newWindow(&w); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", w, err, want)
		}
	}
}

func TestWindowsOpenAndCloseAGuard(t *testing.T) {
	clock := testingclock.NewFakePassiveClock(monday)
	a := newTest(t, Options{Clock: clock}, parse(t, "weekend", `{subjects: {all: true}, resources: [pods],
	  windows: [{days: [Friday], start: "18:00"}, {days: [Saturday, Sunday]}, {days: [Monday], end: "06:00"}]}`))
	for _, c := range []struct {
		at   time.Time
		want bool
	}{
		{monday, false},
		{monday.AddDate(0, 0, 4).Add(6 * time.Hour), true},   // Friday 18:00
		{monday.AddDate(0, 0, 6), true},                      // Sunday
		{monday.AddDate(0, 0, 7).Add(-6 * time.Hour), false}, // Monday 06:00
		{monday.AddDate(0, 0, -1), true},                     // the clock jumps back
	} {
		clock.SetTime(c.at)
		if denied, _ := decide(t, a, "anna get pods shop/a"); denied != c.want {
			t.Errorf("%v: denied %v", c.at, denied)
		}
	}
}

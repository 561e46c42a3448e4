package rule

import (
	"fmt"
	"strings"
)

// Objective is how good a service is to be, by a ratio of what goes wrong.
type Objective struct {
	// ID is the value of the label slo.
	ID string
	// Name is the part of the alerts' names: APIAvailability.
	Name string
	// Percent that is to go right over thirty days.
	Percent float64
	// Bad is the ratio of what goes wrong, with WINDOW for the window.
	Bad string
	// What is told: "requests to the API fail".
	What string
	// Check and Mend are the end of the pages.
	Check, Mend string
}

// Budget is the ratio that may go wrong.
func (s *Objective) Budget() float64 { return (100 - s.Percent) / 100 }

// ratio is bad of all, where there may be no series of bad.
func ratio(bad, all string) string {
	return fmt.Sprintf("(%s or 0 * %s) / %s", bad, all, all)
}

// Objectives are those of both mounts; those of one that does not run have no series.
func Objectives() []Objective {
	const requests = `apiserver_request_total{$,verb!~"WATCH|CONNECT",subresource!~"/(readyz|livez|healthz).*"}`
	const slow = `apiserver_request_sli_duration_seconds_`
	const quick = `sum by (job) (` +
		`rate(` + slow + `bucket{$,verb!~"WATCH|CONNECT",scope!~"namespace|cluster",le=~"1(\\.0)?"}[WINDOW])` +
		` or rate(` + slow + `bucket{$,verb!~"WATCH|CONNECT",scope="namespace",le=~"5(\\.0)?"}[WINDOW])` +
		` or rate(` + slow + `bucket{$,verb!~"WATCH|CONNECT",scope="cluster",le=~"30(\\.0)?"}[WINDOW]))`
	within := func(histogram, matchers, le string) string {
		return fmt.Sprintf(`1 - sum by (job) (rate(%[1]s_bucket{$%[2]s,le="%[3]s"}[WINDOW])) / sum by (job) (rate(%[1]s_count{$%[2]s}[WINDOW]))`, histogram, matchers, le)
	}
	return []Objective{
		{
			ID: "api-availability", Name: "APIAvailability", Percent: 99.9, What: "requests to the API fail with a server error",
			Bad:   ratio(`sum by (job) (rate(`+strings.Replace(requests, "{$", `{$,code=~"5.."`, 1)+`[WINDOW]))`, `sum by (job) (rate(`+requests+`[WINDOW]))`),
			Check: "`kubectl get --raw '/readyz?verbose'` names what is not well. In the dashboard *API server*, the panel of errors by resource shows where they are; the log has each.",
			Mend:  "Where `etcd` is not ready, mend that first: disk, memory, or the external cluster. One resource alone that fails is its webhook, its aggregated server, or a conversion. Where all fail since an update, go back to the version before.",
		},
		{
			ID: "api-latency", Name: "APILatency", Percent: 99, What: "requests to the API take too long (a second for an object, five for a namespace, thirty for a cluster)",
			Bad:   `1 - ` + quick + ` / sum by (job) (rate(` + slow + `count{$,verb!~"WATCH|CONNECT"}[WINDOW]))`,
			Check: "In the dashboard *API server*: are requests slow, or do they wait in the queues of flow control? Is etcd slow (`etcd_request_duration_seconds`)? In *Admission and policy*: does a webhook or a policy take the time?",
			Mend:  "A slow disk under etcd wants a faster one. A client that lists everything in a loop shows in `apiserver_request_total` and in the audit events: `gatehouse audit query --count-by user,verb,resource`. A slow webhook is mended, narrowed, or given a shorter timeout.",
		},
		{
			ID: "admission-latency", Name: "AdmissionLatency", Percent: 99, What: "requests spend more than half a second in admission",
			Bad:   within("apiserver_admission_step_admission_duration_seconds", "", "0.5"),
			Check: "In the dashboard *Admission and policy*: the slowest plugins, webhooks and policies. `gatehouse policy list -o wide` has the cost of each policy.",
			Mend:  "A webhook that is far away, or down with a long timeout, is the rule. Policies that look many objects up are the exception: `gatehouse policy lint` names what is dear.",
		},
		{
			ID: "attach-availability", Name: "AttachAvailability", Percent: 99.9, What: "reviews of gatehouse attach fail",
			Bad:   ratio(`sum by (job) (rate(gatehouse_attach_requests_total{$,code=~"5.."}[WINDOW]))`, `sum by (job) (rate(gatehouse_attach_requests_total{$}[WINDOW]))`),
			Check: "`/readyz?verbose` of each replica says what has not been read yet. The log of `gatehouse attach` has the reason of each review that could not be answered.",
			Mend:  "A replica that is not ready waits for the cluster it watches: is its API reachable, and are its permissions those of `gatehouse attach manifests`? Until it answers, the API server refuses or ignores reviews, as failurePolicy says.",
		},
		{
			ID: "attach-latency", Name: "AttachLatency", Percent: 99, What: "reviews of gatehouse attach take more than half a second",
			Bad:   within("gatehouse_attach_request_duration_seconds", "", "0.5"),
			Check: "In the dashboard *Overview*: which endpoint is slow? `/mutate` and `/validate` are policies, `/authenticate` may wait for an issuer, `/audit` for the disk.",
			Mend:  "Give the replicas more CPU, or more replicas; narrow policies that are dear (`gatehouse policy lint`).",
		},
	}
}

// windows are those that ratios are recorded over.
var windows = []string{"5m", "30m", "1h", "2h", "6h", "1d", "3d"}

func recorded(window, id string) string {
	return fmt.Sprintf(`gatehouse:slo_errors:ratio_rate%s{slo="%s"}`, window, id)
}

// recordings are the ratios of all objectives over all windows.
func recordings() Group {
	g := Group{Name: "gatehouse.a.objectives"}
	for _, s := range Objectives() {
		for _, w := range windows {
			g.Recordings = append(g.Recordings, Recording{
				Name: "gatehouse:slo_errors:ratio_rate" + w, Labels: map[string]string{"slo": s.ID},
				Query: strings.ReplaceAll(s.Bad, "WINDOW", w),
			})
		}
		g.Recordings = append(g.Recordings, Recording{
			Name: "gatehouse:slo_errors:budget", Labels: map[string]string{"slo": s.ID}, Query: fmt.Sprintf("vector(%g)", s.Budget()),
		})
	}
	return g
}

// burn is a speed at which a budget is used up: faster than times the speed that would
// use it up in thirty days, over both windows.
type burn struct {
	long, short string
	times       float64
}

// burning are the alerts on objectives: one that wakes somebody, and one for the day.
func burning() Group {
	g := Group{Name: "b.objectives"}
	for _, s := range Objectives() {
		condition := func(burns ...burn) string {
			var any []string
			for _, b := range burns {
				limit := fmt.Sprintf("%.6g", b.times*s.Budget())
				any = append(any, fmt.Sprintf("(%s > %s and %s > %s)", recorded(b.long, s.ID), limit, recorded(b.short, s.ID), limit))
			}
			return strings.Join(any, " or ")
		}
		page := func(a Alert) Alert {
			a.Says = fmt.Sprintf("{{ $value | humanizePercentage }} of the time, %s: the budget of {{ $labels.job }} is used up in %s.", s.What, map[Severity]string{Critical: "days", Warning: "weeks"}[a.Severity])
			a.Means = fmt.Sprintf("%g %% are to go right over thirty days. At this rate, the rest is used up %s. %s", s.Percent,
				map[Severity]string{Critical: "within five days, or within two where it is bad", Warning: "before the thirty days are over"}[a.Severity], firstUpper(s.What)+".")
			a.Check, a.Mend = s.Check, s.Mend
			return a
		}
		g.Alerts = append(g.Alerts,
			page(Alert{Name: "Gatehouse" + s.Name + "BurnsFast", Severity: Critical, For: "2m",
				Condition: condition(burn{"1h", "5m", 14.4}, burn{"6h", "30m", 6})}),
			page(Alert{Name: "Gatehouse" + s.Name + "BurnsSlowly", Severity: Warning, For: "15m",
				Condition: condition(burn{"1d", "2h", 3}, burn{"3d", "6h", 1})}))
	}
	return g
}

func firstUpper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

package dashboard

// served are requests to the API, without those that stay open and those about health.
const served = `apiserver_request_total{$,verb!~"WATCH|CONNECT",subresource!~"/(readyz|livez|healthz).*"}`

// failed are those of them that failed with a server's error.
const failed = `apiserver_request_total{$,verb!~"WATCH|CONNECT",subresource!~"/(readyz|livez|healthz).*",code=~"5.."}`

func overview() Dashboard {
	return Dashboard{
		ID: "gatehouse-overview", Title: "Gatehouse / Overview", About: "Each gate in a line: what came, what was refused, and whether anybody would know.",
		Rows: []Row{
			{"Now", []Panel{
				stat("Up", "short", `sum(up{$})`),
				stat("Requests", "reqps", `sum(rate(`+served+`[$rate]))`),
				stat("Errors", "percentunit", `(sum(rate(`+failed+`[$rate])) or vector(0)) / sum(rate(`+served+`[$rate]))`).bad(.001),
				stat("Refused by authorization", "percentunit", `sum(rate(gatehouse_authz_decisions_total{$,verdict!="allow"}[$rate])) / sum(rate(gatehouse_authz_decisions_total{$}[$rate]))`),
				stat("Audit events lost", "short", `sum(increase(gatehouse_audit_store_appended_events_total{$,result!~"kept|duplicate"}[1h]))`).bad(1),
				stat("Open findings, high and critical", "short", `sum(gatehouse_detect_findings_open{$,severity=~"high|critical"})`).bad(1),
				stat("First certificate ends in", "s", `min(gatehouse_pki_certificate_expiry_timestamp_seconds{$}) - time()`),
				stat("Settings that are refused", "short", orNone(`sum(gatehouse_settings_stale{$})`)).bad(1),
			}},
			{"Objectives", []Panel{
				lines("Errors of objectives, an hour", "percentunit", "{{job}} {{slo}}", `gatehouse:slo_errors:ratio_rate1h`).about("Of the recording rules that gatehouse print alerts writes."),
				lines("How fast their budget burns", "short", "{{job}} {{slo}}", `gatehouse:slo_errors:ratio_rate1h / on (slo) group_left gatehouse:slo_errors:budget`).about("1 uses up the budget in thirty days, 14.4 in two."),
			}},
			{"Requests", []Panel{
				lines("By verb", "reqps", "{{verb}}", `sum by (verb) (rate(`+served+`[$rate]))`).stacked(),
				lines("By code", "reqps", "{{code}}", `sum by (code) (rate(`+served+`[$rate]))`).stacked(),
				quantiles("How long they take", "apiserver_request_sli_duration_seconds", `,verb!~"WATCH|CONNECT"`),
			}},
			{"Gates", []Panel{
				lines("Authentication", "reqps", "{{verdict}}", `sum by (verdict) (rate(gatehouse_authn_decisions_total{$}[$rate]))`).stacked(),
				lines("Authorization", "reqps", "{{verdict}}", `sum by (verdict) (rate(gatehouse_authz_decisions_total{$}[$rate]))`).stacked(),
				lines("Admission", "reqps", "refused: {{rejected}}", `sum by (rejected) (rate(apiserver_admission_step_admission_duration_seconds_count{$}[$rate]))`).stacked(),
				lines("Policies", "reqps", "{{result}}", `sum by (result) (rate(gatehouse_policy_results_total{$}[$rate]))`).stacked(),
			}},
			{"Audit and detection", []Panel{
				lines("Audit events", "reqps", "{{result}}", `sum by (result) (rate(gatehouse_audit_store_appended_events_total{$}[$rate]))`).stacked(),
				lines("Findings, an hour", "short", "{{severity}}", `sum by (severity) (increase(gatehouse_detect_findings_total{$}[1h]))`).stacked(),
			}},
			{"gatehouse attach", []Panel{
				lines("Reviews", "reqps", "{{endpoint}}", `sum by (endpoint) (rate(gatehouse_attach_requests_total{$}[$rate]))`).stacked(),
				lines("Verdicts", "reqps", "{{endpoint}} {{verdict}}", `sum by (endpoint, verdict) (rate(gatehouse_attach_verdicts_total{$}[$rate]))`),
				quantiles("How long they take", "gatehouse_attach_request_duration_seconds", "", "endpoint"),
				lines("In progress", "short", "{{endpoint}}", `sum by (endpoint) (gatehouse_attach_reviews_in_flight{$})`),
			}},
			{"Processes", []Panel{
				lines("CPU", "short", "{{instance}}", `rate(process_cpu_seconds_total{$}[$rate])`),
				lines("Memory", "bytes", "{{instance}}", `process_resident_memory_bytes{$}`),
				lines("Goroutines", "short", "{{instance}}", `go_goroutines{$}`),
			}},
		},
	}
}

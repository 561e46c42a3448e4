package dashboard

func authentication() Dashboard {
	return Dashboard{
		ID: "gatehouse-authentication", Title: "Gatehouse / Authentication", About: "Who came, by what, and who was turned away.",
		Rows: []Row{
			{"Decisions", []Panel{
				lines("By verdict", "reqps", "{{verdict}}", `sum by (verdict) (rate(gatehouse_authn_decisions_total{$}[$rate]))`).stacked().about("unknown: no credential that anybody knows. error: one that was refused. revoked: by a Revocation or a CRL."),
				quantiles("How long they take", "gatehouse_authn_decision_duration_seconds", ""),
				lines("Revoked, an hour", "short", "{{instance}}", `sum by (instance) (increase(gatehouse_authn_decisions_total{$,verdict="revoked"}[1h]))`).bad(1),
			}},
			{"By upstream's authenticators", []Panel{
				lines("Attempts", "reqps", "{{result}}", `sum by (result) (rate(authentication_attempts{$}[$rate]))`).stacked(),
				quantiles("How long they take", "authentication_duration_seconds", "", "result"),
			}},
			{"Revocation", []Panel{
				lines("Revocations in force", "short", "{{instance}}", `gatehouse_authn_revocations{$}`),
				lines("Revocations that cannot be read", "short", "{{instance}}", `gatehouse_authn_invalid_revocations{$}`).bad(1),
				lines("CRL: until the first ends", "s", "{{instance}}", orNone(`gatehouse_authn_crl_next_update_timestamp_seconds{$} - time()`)),
			}},
			{"Client certificates", []Panel{
				lines("Remembered", "percentunit", "{{instance}}", `sum by (instance) (rate(gatehouse_authn_certificate_cache_lookups_total{$,result="hit"}[$rate])) / sum by (instance) (rate(gatehouse_authn_certificate_cache_lookups_total{$}[$rate]))`),
				lines("How long those that come are good", "s", "p10", `histogram_quantile(0.1, sum by (le) (rate(apiserver_client_certificate_expiration_seconds_bucket{$}[1h])))`),
				lines("TLS handshakes that failed", "reqps", "{{instance}}", `rate(apiserver_tls_handshake_errors_total{$}[$rate])`),
			}},
		},
	}
}

func authorization() Dashboard {
	return Dashboard{
		ID: "gatehouse-authorization", Title: "Gatehouse / Authorization", About: "What was allowed and refused, by which authorizer, and how long that took.",
		Rows: []Row{
			{"Decisions", []Panel{
				lines("By verdict", "reqps", "{{verdict}}", `sum by (verdict) (rate(gatehouse_authz_decisions_total{$}[$rate]))`).stacked().about("Of requests, reviews and checks of escalation; not of the server's own connection."),
				quantiles("How long they take", "gatehouse_authz_decision_duration_seconds", "").about("One in 64 is timed."),
				lines("Refused", "percentunit", "{{instance}}", `sum by (instance) (rate(gatehouse_authz_decisions_total{$,verdict!="allow"}[$rate])) / sum by (instance) (rate(gatehouse_authz_decisions_total{$}[$rate]))`),
			}},
			{"Authorizers", []Panel{
				lines("By authorizer", "reqps", "{{type}} {{decision}}", `sum by (type, decision) (rate(apiserver_authorization_decisions_total{$}[$rate]))`),
				lines("Refused by Guards", "reqps", "{{instance}}", `rate(gatehouse_authz_guard_refusals_total{$}[$rate])`),
				lines("Webhooks that do not answer", "reqps", "timeouts and errors", orNone(`sum(rate(apiserver_authorization_webhook_evaluations_total{$,result=~"timeout|error"}[$rate]))`),
					"gone on without", orNone(`sum(rate(apiserver_authorization_webhook_evaluations_fail_open_total{$}[$rate]))`)).bad(.001),
			}},
			{"What decides", []Panel{
				lines("Objects in the index", "short", "{{instance}} {{kind}}", `gatehouse_authz_index_objects{$}`),
				lines("Guards that do not compile", "short", "{{instance}}", `gatehouse_authz_invalid_guards{$}`).bad(1),
			}},
		},
	}
}

func admission() Dashboard {
	const plugins, webhooks = "apiserver_admission_controller_admission_duration_seconds", "apiserver_admission_webhook_admission_duration_seconds"
	return Dashboard{
		ID: "gatehouse-admission", Title: "Gatehouse / Admission and policy", About: "What may come in, who says so, and what it costs.",
		Rows: []Row{
			{"Admission", []Panel{
				lines("Passed and refused", "reqps", "{{type}} refused: {{rejected}}", `sum by (type, rejected) (rate(apiserver_admission_step_admission_duration_seconds_count{$}[$rate]))`),
				quantiles("How long it takes", "apiserver_admission_step_admission_duration_seconds", "", "type"),
				lines("Refused by plugin", "reqps", "{{name}}", `topk(10, sum by (name) (rate(`+plugins+`_count{$,rejected="true"}[$rate])))`),
				lines("The slowest plugins", "s", "{{name}}", `topk(10, sum by (name) (rate(`+plugins+`_sum{$}[$rate])) / sum by (name) (rate(`+plugins+`_count{$}[$rate])))`),
			}},
			{"Policies", []Panel{
				lines("Results", "reqps", "{{result}}", `sum by (result) (rate(gatehouse_policy_results_total{$}[$rate]))`).stacked(),
				lines("Refusals by policy", "reqps", "{{kind}} {{policy}}", `topk(10, sum by (kind, policy) (rate(gatehouse_policy_results_total{$,result="deny"}[$rate])))`),
				lines("Errors by policy", "reqps", "{{kind}} {{policy}}", `topk(10, sum by (kind, policy) (rate(gatehouse_policy_results_total{$,result="error"}[$rate])))`).bad(.001),
				lines("The dearest policies, CPU", "short", "{{kind}} {{policy}}", `topk(10, sum by (kind, policy) (rate(gatehouse_policy_evaluation_duration_seconds_sum{$}[$rate])))`),
			}},
			{"Native policies and Pod Security", []Panel{
				lines("ValidatingAdmissionPolicies", "reqps", "{{policy}} {{enforcement_action}} {{error_type}}", `sum by (policy, enforcement_action, error_type) (rate(apiserver_validating_admission_policy_check_total{$}[$rate]))`),
				lines("Pod Security", "reqps", "{{mode}} {{policy_level}} {{decision}}", `sum by (mode, policy_level, decision) (rate(pod_security_evaluations_total{$}[$rate]))`),
			}},
			{"Webhooks", []Panel{
				lines("Calls", "reqps", "{{name}}", orNone(`sum by (name) (rate(`+webhooks+`_count{$}[$rate]))`)),
				lines("How long they take, p99", "s", "{{name}}", orNone(`histogram_quantile(0.99, sum by (name, le) (rate(`+webhooks+`_bucket{$}[$rate])))`)),
				lines("Do not answer", "reqps", "refused for it: {{name}}", orNone(`sum by (name) (rate(apiserver_admission_webhook_rejection_count{$,error_type!="no_error"}[$rate]))`),
					"gone on without: {{name}}", orNone(`sum by (name) (rate(apiserver_admission_webhook_fail_open_count{$}[$rate]))`)).bad(.001),
			}},
			{"The background scan", []Panel{
				lines("Progress", "percentunit", "{{instance}}", `gatehouse_scan_objects_settled{$} / (gatehouse_scan_objects{$} > 0) or gatehouse_scan_objects{$} == 0`),
				lines("What existing objects break", "short", "{{result}}", `sum by (result) (gatehouse_scan_findings{$})`),
				lines("Judged", "reqps", "{{reason}}", `sum by (reason) (rate(gatehouse_scan_evaluations_total{$}[$rate]))`).stacked(),
				lines("Lists that failed", "reqps", "{{instance}}", `rate(gatehouse_scan_read_failures_total{$}[$rate])`).bad(.001),
			}},
		},
	}
}

package rule

// detection are the alerts on detection itself: when what should be told would not be.
func detection() Group {
	return Group{Name: "g.detection", Alerts: []Alert{
		{
			Name: "GatehouseDetectionSkips", Severity: Critical,
			Condition: `increase(gatehouse_detect_events_skipped_total{$}[15m]) > 0`,
			Says:      "{{ $value | humanize }} audit events were not looked at by the detection rules of {{ $labels.instance }}.",
			Means:     "More came than could be judged, and they could not be read from the store. The store has them.",
			Check:     "`gatehouse_detect_lag_seconds`, and the CPU of the machine.",
			Mend:      "`gatehouse detect run --since 1h` judges them now. More CPU, or fewer rules of your own that every event is put to (`gatehouse detect list -o wide`).",
		},
		{
			Name: "GatehouseDetectionLag", Severity: Warning, For: "5m",
			Condition: `gatehouse_detect_lag_seconds{$} > 60`,
			Says:      "Detection on {{ $labels.instance }} is {{ $value | humanizeDuration }} behind.",
			Means:     "What is found is told that late.",
			Check:     "CPU, and whether the server has just started: it reads what it missed first.",
			Mend:      "Wait after a start. Else as for GatehouseDetectionSkips.",
		},
		{
			Name: "GatehouseDetectionStopped", Severity: Critical, For: "15m",
			Condition: `sum by (job, instance) (rate(gatehouse_audit_store_appended_events_total{$,result="kept"}[10m])) > 0.1 and on (job, instance) rate(gatehouse_detect_events_total{$}[10m]) == 0`,
			Says:      "Audit events are kept by {{ $labels.instance }}, and the detection rules see none.",
			Means:     "Detection stands still: nothing will be found.",
			Check:     "The log, and `gatehouse_detect_rules`: are there rules in force?",
			Mend:      "Restart the server, and report it: this should not happen. `gatehouse detect run --since 1h` judges what was missed.",
		},
		{
			Name: "GatehouseRulesBlinded", Severity: Critical, For: "10m",
			Condition: `gatehouse_detect_rules{$,state="blind"} > (gatehouse_detect_rules{$,state="blind"} offset 1h)`,
			Says:      "More detection rules than an hour ago are blind on {{ $labels.instance }} ({{ $value }} now).",
			Means:     "The audit policy was changed, and no longer records what they need, or rules were added that never could see.",
			Check:     "`gatehouse detect coverage --audit-policy FILE` names each rule and why.",
			Mend:      "Put back what the policy recorded. An audit policy that records less, and nobody knows why, may be somebody's who wants to be unseen.",
		},
		{
			Name: "GatehouseRulesRefused", Severity: Warning, For: "10m",
			Condition: `gatehouse_detect_rules{$,state="refused"} > 0`,
			Says:      "{{ $value }} detection rules are refused by {{ $labels.instance }}.",
			Means:     "They do not compile, or do not do what their examples say. They find nothing.",
			Check:     "`kubectl get detectionrules`: the status says what is wrong. `gatehouse detect test FILE` for files.",
			Mend:      "Mend the rule; `gatehouse detect test` shows each example and what came of it.",
		},
		{
			Name: "GatehouseRuleEvaluationFails", Severity: Warning, For: "15m",
			Condition: `rate(gatehouse_detect_evaluations_failed_total{$}[10m]) > 0`,
			Says:      "Expressions of detection rules cannot be evaluated on {{ $labels.instance }}, {{ $value | humanize }} times a second.",
			Means:     "What cannot be evaluated counts as not met: the rule finds nothing there.",
			Check:     "The log names the rule. A field of a body that is not always there is the rule.",
			Mend:      "Use `has(…)` before what may be missing, and add the event as an example.",
		},
		{
			Name: "GatehouseDetectionForgets", Severity: Warning, For: "30m",
			Condition: `rate(gatehouse_detect_keys_evicted_total{$}[15m]) > 0`,
			Says:      "Detection rules on {{ $labels.instance }} forget what they counted, because there is too much.",
			Means:     "What was not seen for longest is forgotten: a slow attack may be missed. Somebody may make noise on purpose.",
			Check:     "`gatehouse audit query --since 1h --count-by user,ip` shows who makes so many different requests.",
			Mend:      "A rule of your own with a key of many values wants a narrower one, or more `keys`.",
		},
		{
			Name: "GatehouseAlertSinkFails", Severity: Critical, For: "5m",
			Condition: `sum by (job, instance, sink_type) (rate(gatehouse_alert_sends_total{$,result="failure"}[5m])) > 0 unless sum by (job, instance, sink_type) (rate(gatehouse_alert_sends_total{$,result="success"}[5m])) > 0`,
			Says:      "Findings of {{ $labels.instance }} do not reach the {{ $labels.sink_type }}.",
			Means:     "They wait on the disk and are sent when it answers again; until then nobody is told.",
			Check:     "The log has the answer of the sink. Address, certificate and credential of it in `detection.alerts`.",
			Mend:      "Bring it back. Files of secrets are read again by themselves.",
		},
		{
			Name: "GatehouseAlertQueueFills", Severity: Warning, For: "15m",
			Condition: `gatehouse_alert_queue_alerts{$} > 1000`,
			Says:      "{{ $value }} findings of {{ $labels.instance }} wait for the {{ $labels.sink_type }}.",
			Means:     "More is found than the sink takes, or it takes nothing. At `detection.alerts.queueSize` the least severe are dropped.",
			Check:     "As for GatehouseAlertSinkFails. `gatehouse_detect_findings_total` by severity: is there a rule that fires at everything?",
			Mend:      "A Mute with an end for what is known and harmless; a sink that asks for a least severity.",
		},
		{
			Name: "GatehouseAlertsDropped", Severity: Critical,
			Condition: `increase(gatehouse_alert_queue_dropped_alerts_total{$}[15m]) > 0`,
			Says:      "{{ $value | humanize }} findings of {{ $labels.instance }} for the {{ $labels.sink_type }} were dropped.",
			Means:     "The queue was full. What was dropped is still in the store: the least severe first.",
			Check:     "`gatehouse detect run --since 1h` finds them again.",
			Mend:      "As for GatehouseAlertSinkFails, and a larger `detection.alerts.queueSize`.",
		},
	}}
}

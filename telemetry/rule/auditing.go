package rule

// auditing are the alerts on the trail of audit events: what nobody notices until the
// events are wanted.
func auditing() Group {
	const appended = `gatehouse_audit_store_appended_events_total`
	return Group{Name: "e.audit", Alerts: []Alert{
		{
			Name: "GatehouseAuditEventsLost", Severity: Critical,
			Condition: `sum by (job, instance, result) (increase(` + appended + `{$,result!~"kept|duplicate"}[10m])) > 0`,
			Says:      "{{ $labels.instance }} has lost {{ $value | humanize }} audit events ({{ $labels.result }}).",
			Means:     "Requests were answered of which there is no record. The store has the time as a gap, and tells it with every answer that touches it.",
			Check:     "`gatehouse audit status` shows the gaps and their reasons. `dropped`: more came than the disk takes, and `audit.store.overflow` is Drop. `disk full`: no room. `unreadable`: an API server posted what cannot be read.",
			Mend:      "A faster or larger disk, or an audit policy that records less of what matters least. `audit.store.overflow: Block` makes requests wait rather than lose their events.",
		},
		{
			Name: "GatehouseAuditSilent", Severity: Critical, For: "10m",
			Condition: `(sum by (job, instance) (rate(apiserver_request_total{$,verb=~"POST|PUT|PATCH|DELETE",resource!~"|leases|events"}[10m])) > 0.02 unless on (job, instance) sum by (job, instance) (rate(` + appended + `{$,result="kept"}[10m])) > 0) and on (job, instance) gatehouse_audit_store_events{$}` +
				` or (sum by (job) (rate(gatehouse_attach_requests_total{$,endpoint=~"/validate|/authorize"}[10m])) > 0.1 unless on (job) sum by (job) (rate(` + appended + `{$,result="kept"}[10m])) > 0) and on (job) sum by (job) (gatehouse_audit_store_events{$})`,
			Says: "Writes are served by {{ $labels.job }}, and no audit event comes of them.",
			// Reads, leases and events are what policies leave out; other writes they do not.
			Means: "The audit policy records nothing any more, the backend is stuck, or (under attach) the API server no longer posts its events. Whatever is done now, nobody will know.",
			Check: "`gatehouse audit tail` shows the last events. Compare `audit.policyFile` with what `gatehouse print audit-policy` prints, and ask `gatehouse audit query --since 1d --verb update,patch` who changed what. Under attach: the API server's `--audit-webhook-config-file`, its log, and `gatehouse_attach_requests_total{endpoint=\"/audit\"}`.",
			Mend:  "Put the audit policy back. Under attach, mend the connection: the API server keeps few events that it could not post.",
		},
		{
			Name: "GatehouseAuditRejectsRequests", Severity: Critical,
			Condition: `increase(apiserver_audit_requests_rejected_total{$}[10m]) > 0`,
			Says:      "{{ $labels.instance }} refuses requests because their audit events cannot be kept.",
			Means:     "Audit is blocking: no record, no request.",
			Check:     "`gatehouse audit status`, and the disk of the data directory: `df -h`.",
			Mend:      "Make room, or bring the disk back. Nothing is lost meanwhile.",
		},
		{
			Name: "GatehouseAuditErrors", Severity: Critical,
			Condition: appeared(`apiserver_audit_error_total{$}`, "10m"),
			Says:      "Audit events could not be written by {{ $labels.plugin }} on {{ $labels.instance }}.",
			Means:     "One of the backends (the log, the store) had an error, and the events are not there.",
			Check:     "The log of the server has the error and the event. `df -h` of the folder of `audit.logFile`.",
			Mend:      "Make room, mend permissions, or take the backend out of the settings.",
		},
		{
			Name: "GatehouseAuditImpaired", Severity: Critical, For: "1m",
			Condition: `gatehouse_audit_store_impaired{$} == 1`,
			Says:      "The audit store of {{ $labels.instance }} writes nothing, or its disk is full.",
			Means:     "Either requests wait until there is room, or their events are dropped (`audit.store.overflow`).",
			Check:     "`gatehouse audit status` says which; `df -h` of its folder.",
			Mend:      "Make room; it goes on by itself. A store that is broken is mended with the server stopped: `gatehouse audit repair --store DIR`.",
		},
		{
			Name: "GatehouseAuditWriteFails", Severity: Warning, For: "15m",
			Condition: `sum by (job, instance, operation) (rate(gatehouse_audit_store_failures_total{$}[10m])) > 0`,
			Says:      "The audit store of {{ $labels.instance }} fails at {{ $labels.operation }} again and again.",
			Means:     "It tries again, and nothing is lost yet: events stay in the write-ahead log, which grows.",
			Check:     "The log (`Audit store:`) has the reason.",
			Mend:      "Mend the disk or its permissions; `gatehouse audit repair` sets aside what is damaged.",
		},
		{
			Name: "GatehouseAuditLag", Severity: Warning, For: "10m",
			Condition: `histogram_quantile(0.9, sum by (job, instance, le) (rate(gatehouse_audit_store_keep_lag_seconds_bucket{$}[10m]))) > 30`,
			Says:      "Audit events reach the store of {{ $labels.instance }} {{ $value | humanizeDuration }} after they happened.",
			Means:     "Detection and questions are that late. Under serve the disk is slow; under attach the API server posts its batches late, or they queue.",
			Check:     "`gatehouse_audit_store_sync_duration_seconds` (the disk), and under attach the API server's `--audit-webhook-batch-max-wait` and its clock.",
			Mend:      "A faster disk; shorter batches (`gatehouse attach manifests --audit` has good ones); clocks that agree.",
		},
		{
			Name: "GatehouseAuditSealLag", Severity: Warning, For: "15m",
			Condition: `gatehouse_audit_store_seal_lag_seconds{$} > 3600`,
			Says:      "Audit events of {{ $labels.instance }} have been waiting {{ $value | humanizeDuration }} to be signed into a segment.",
			Means:     "They are safe in the write-ahead log, but neither signed nor published.",
			Check:     "`gatehouse_audit_store_failures_total{operation=\"seal\"}` and the log.",
			Mend:      "Make room on the disk: a seal needs some. A write-ahead log that cannot be read is mended with `gatehouse audit repair`.",
		},
		{
			Name: "GatehouseAuditTruncated", Severity: Warning,
			Condition: `increase(gatehouse_audit_store_truncated_events_total{$}[1h]) > 0`,
			Says:      "{{ $value | humanize }} audit events came to {{ $labels.instance }} with their bodies cut off.",
			Means:     "The API server cuts events that are larger than its limit. What was in the body cannot be asked for, and rules that need it are blind to these events.",
			Check:     "`gatehouse audit query --since 1h --where event.truncated` shows which.",
			Mend:      "Raise the API server's `--audit-webhook-truncate-max-event-size`, or record such resources at level Metadata.",
		},
		{
			Name: "GatehouseAuditGap", Severity: Warning,
			Condition: `gatehouse_audit_store_gaps{$} - gatehouse_audit_store_gaps{$} offset 15m > 0`,
			Says:      "There is a new gap in the audit events of {{ $labels.instance }}.",
			Means:     "For a time, events are known to be missing.",
			Check:     "`gatehouse audit status` has its time and reason.",
			Mend:      "Remove the reason. The events themselves may still be in the log file of the API server: `gatehouse audit import` brings them in, each once.",
		},
		{
			Name: "GatehouseAuditDamaged", Severity: Critical,
			Condition: `gatehouse_audit_store_quarantined_files{$} - gatehouse_audit_store_quarantined_files{$} offset 15m > 0`,
			Says:      "The audit store of {{ $labels.instance }} has set damaged files aside.",
			Means:     "A segment could not be read: the disk is failing, or somebody changed it.",
			Check:     "`gatehouse audit verify` tells damage from tampering, and names the first segment that is not as it was signed.",
			Mend:      "Where segments are published, the bucket has it whole. Replace the disk. Tampering is an incident.",
		},
		{
			Name: "GatehouseAuditStoreNearLimit", Severity: Warning, For: "30m",
			Condition: `gatehouse_audit_store_bytes{$} / (gatehouse_audit_store_limit_bytes{$} > 0) > 0.9`,
			Says:      "The audit store of {{ $labels.instance }} has used {{ $value | humanizePercentage }} of its size.",
			Means:     "At the limit the oldest segments are removed, which may be younger than `maxAgeDays` promises.",
			Check:     "`gatehouse audit status`: how far back does it go?",
			Mend:      "Raise `audit.store.maxSize`, publish segments to a bucket (`audit.store.publish`), or record less.",
		},
		{
			Name: "GatehouseAuditDiskFills", Severity: Critical, For: "5m",
			Condition: `gatehouse_audit_store_disk_available_bytes{$} / gatehouse_audit_store_disk_size_bytes{$} < 0.1`,
			Says:      "The disk of the audit store of {{ $labels.instance }} has {{ $value | humanizePercentage }} left.",
			Means:     "When it is full, requests wait or events are lost, and where etcd is on the same disk it refuses writes.",
			Check:     "`du -sh DATA_DIR/*`.",
			Mend:      "Make room, or lower `audit.store.maxSize`: segments beyond it are removed within minutes.",
		},
		{
			Name: "GatehouseAuditPublishFails", Severity: Warning, For: "30m",
			Condition: `gatehouse_audit_publish_waiting_segments{$} > 0 and on (job, instance) rate(gatehouse_audit_publish_failures_total{$}[30m]) > 0`,
			Says:      "{{ $value }} audit segments of {{ $labels.instance }} cannot be copied to the bucket.",
			Means:     "They are kept until they can be, and are not removed for age or size meanwhile: the disk fills.",
			Check:     "The log has the bucket's answer. Credentials that have ended are the rule.",
			Mend:      "Renew the credential, or its rights to put objects.",
		},
		{
			Name: "GatehouseAuditExportDrops", Severity: Warning, For: "15m",
			Condition: `sum by (job, instance, cause) (rate(gatehouse_audit_export_dropped_events_total{$}[10m])) > 0`,
			Says:      "Audit events of {{ $labels.instance }} do not reach the OpenTelemetry collector ({{ $labels.cause }}).",
			Means:     "The store has them; whatever reads the collector does not.",
			Check:     "Is the collector at `audit.otlpEndpoint` there, and does it keep up?",
			Mend:      "Bring it back, or give it more room. What it missed can be had with `gatehouse audit query -o json`.",
		},
	}}
}

package rule

// server are the alerts on the process and the API server in it.
func server() Group {
	return Group{Name: "c.server", Alerts: []Alert{
		{
			Name: "GatehouseDown", Severity: Critical, For: "2m",
			Condition: `up{$} == 0`,
			Says:      "Prometheus cannot scrape {{ $labels.instance }}.",
			Means:     "The process does not run, cannot be reached, or refuses Prometheus its metrics. What is refused while it is down depends on the mount: serve is the API itself; attach is asked by an API server, which follows its failurePolicy.",
			Check:     "`curl -k https://HOST:PORT/livez` from where Prometheus runs. 200: it runs, and Prometheus's credential has ended or may not read `/metrics` (the target page of Prometheus has the code). No answer: `systemctl status gatehouse`, or `kubectl get pods`.",
			Mend:      "Start it; its last lines say why it ended, with a hint. A credential that has ended is renewed as in docs/monitoring.md.",
		},
		{
			Name: "GatehouseAbsent", Severity: Critical, For: "10m",
			Condition: `absent(up{$})`,
			Says:      "Prometheus has no target that is a Gatehouse.",
			Means:     "No series of the selector that these rules were printed with has been seen for ten minutes: the job was renamed or removed, and none of the other alerts can fire.",
			Check:     "The target page of Prometheus: is there a job, and what is it called?",
			Mend:      "Put the job back, or print the rules anew with its name: `gatehouse print alerts --selector 'job=\"NAME\"'`.",
		},
		{
			Name: "GatehouseRestarts", Severity: Warning,
			Condition: `changes(process_start_time_seconds{$}[1h]) > 2`,
			Says:      "{{ $labels.instance }} has started {{ $value }} times within an hour.",
			Means:     "The process ends again and again. No acknowledged write and no audit event is lost by that, but watches and memory begin anew each time.",
			Check:     "`journalctl -u gatehouse -e`: the `error:` line before each end, or the kernel's that it ran out of memory.",
			Mend:      "Follow the hint of the error line. More memory where it was killed for it; `docs/troubleshooting.md` has the rest.",
		},
		{
			Name: "GatehouseSettingsStale", Severity: Warning, For: "5m",
			Condition: `gatehouse_settings_stale{$} == 1`,
			Says:      "The {{ $labels.file }} on disk is not in force on {{ $labels.instance }}: it was refused.",
			Means:     "A settings file was changed into one that cannot be used. What was last good is in force; a restart would refuse to begin.",
			Check:     "The log names the file and what is wrong in it (`is not read again`, `is not taken`).",
			Mend:      "Mend the file, or put the one before back. It is read again by itself, and this alert ends.",
		},
		{
			Name: "GatehouseFlowControlRejects", Severity: Warning, For: "10m",
			Condition: `sum by (job, instance, priority_level) (rate(apiserver_flowcontrol_rejected_requests_total{$}[5m])) > 0.1`,
			Says:      "Requests of priority {{ $labels.priority_level }} are turned away with 429 on {{ $labels.instance }}.",
			Means:     "More requests come than the level may have in progress, and its queues are full. Clients are asked to come again later.",
			Check:     "`gatehouse audit query --since 10m --count-by user,verb,resource` shows who asks so much. The dashboard *API server* shows which levels wait.",
			Mend:      "Mend the client that asks in a loop. A PriorityLevelConfiguration gives a level more seats, or a FlowSchema puts a client into one of its own.",
		},
		{
			Name: "GatehouseEtcdSlow", Severity: Warning, For: "10m",
			Condition: `histogram_quantile(0.99, sum by (job, instance, le) (rate(etcd_request_duration_seconds_bucket{$,operation!~"list|listWithCount"}[5m]))) > 0.5`,
			Says:      "One in a hundred requests of {{ $labels.instance }} to etcd takes {{ $value | humanizeDuration }}.",
			Means:     "Every write waits for etcd, and etcd waits for the disk.",
			Check:     "`iostat -x 5`: is the disk busy, and by whom? With an external cluster, its own metrics (`etcd_disk_wal_fsync_duration_seconds`).",
			Mend:      "Put the data directory on a disk of its own, an SSD. Move what else writes much.",
		},
		{
			Name: "GatehouseEtcdNearQuota", Severity: Critical, For: "5m",
			Condition: `max by (job, instance) (apiserver_storage_size_bytes{$}) / on (job, instance) gatehouse_etcd_quota_bytes{$} > 0.8`,
			Says:      "The database of etcd on {{ $labels.instance }} is {{ $value | humanizePercentage }} full.",
			Means:     "At its quota etcd refuses all writes until it is raised.",
			Check:     "`apiserver_resource_objects` shows which kind there is so much of.",
			Mend:      "Delete what is not needed (old Events, Jobs, reports, revisions of charts). Raise `etcd.quotaBackend` and restart; more than 8 GiB is not advised.",
		},
	}}
}

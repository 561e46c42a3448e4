package dashboard

func server() Dashboard {
	return Dashboard{
		ID: "gatehouse-apiserver", Title: "Gatehouse / API server", About: "Requests, flow control, the store, watches and controllers of gatehouse serve.",
		Rows: []Row{
			{"Requests", []Panel{
				lines("By resource", "reqps", "{{resource}}", `topk(10, sum by (resource) (rate(`+served+`[$rate])))`),
				lines("Errors by resource and code", "reqps", "{{resource}} {{code}}", orNone(`sum by (resource, code) (rate(`+failed+`[$rate]))`)).bad(.001),
				quantiles("How long they take", "apiserver_request_sli_duration_seconds", `,verb!~"WATCH|CONNECT"`, "verb"),
				lines("Size of answers, p99", "bytes", "{{verb}}", `histogram_quantile(0.99, sum by (verb, le) (rate(apiserver_response_sizes_bucket{$}[$rate])))`),
			}},
			{"Flow control", []Panel{
				lines("In progress", "short", "{{request_kind}}", `sum by (request_kind) (apiserver_current_inflight_requests{$})`),
				lines("Waiting", "short", "{{priority_level}}", `sum by (priority_level) (apiserver_flowcontrol_current_inqueue_requests{$})`),
				lines("How long they wait, p99", "s", "{{priority_level}}", `histogram_quantile(0.99, sum by (priority_level, le) (rate(apiserver_flowcontrol_request_wait_duration_seconds_bucket{$}[$rate])))`),
				lines("Turned away", "reqps", "{{priority_level}} {{reason}}", orNone(`sum by (priority_level, reason) (rate(apiserver_flowcontrol_rejected_requests_total{$}[$rate]))`)).bad(.001),
			}},
			{"etcd", []Panel{
				quantiles("Requests take", "etcd_request_duration_seconds", `,operation!~"list.*"`, "operation"),
				lines("Requests", "reqps", "{{operation}}", `sum by (operation) (rate(etcd_requests_total{$}[$rate]))`),
				lines("Errors", "reqps", "{{operation}}", orNone(`sum by (operation) (rate(etcd_request_errors_total{$}[$rate]))`)).bad(.001),
				lines("Size", "bytes", "{{instance}}", `max by (instance) (apiserver_storage_size_bytes{$})`, "{{instance}} quota", `gatehouse_etcd_quota_bytes{$}`),
			}},
			{"What there is", []Panel{
				lines("Objects", "short", "{{resource}}", `topk(10, max by (resource) (apiserver_resource_objects{$}))`),
				lines("Watches", "short", "{{resource}}", `topk(10, sum by (resource) (apiserver_longrunning_requests{$,verb="WATCH"}))`),
				lines("Events of watches", "reqps", "{{resource}}", `topk(10, sum by (resource) (rate(apiserver_watch_events_total{$}[$rate])))`),
			}},
			{"Controllers", []Panel{
				lines("Work that waits", "short", "{{name}}", `topk(10, sum by (name) (workqueue_depth{$}))`),
				lines("Work that is added", "reqps", "{{name}}", `topk(10, sum by (name) (rate(workqueue_adds_total{$}[$rate])))`),
				lines("Tried again", "reqps", "{{name}}", `topk(10, sum by (name) (rate(workqueue_retries_total{$}[$rate])))`),
			}},
			{"Process", []Panel{
				lines("CPU", "short", "{{instance}}", `rate(process_cpu_seconds_total{$}[$rate])`),
				lines("Memory", "bytes", "{{instance}} resident", `process_resident_memory_bytes{$}`, "{{instance}} heap", `go_memstats_heap_inuse_bytes{$}`),
				lines("Time in the garbage collector", "percentunit", "{{instance}}", `rate(go_cpu_classes_gc_total_cpu_seconds_total{$}[$rate]) / rate(go_cpu_classes_total_cpu_seconds_total{$}[$rate])`),
				lines("Open files", "percentunit", "{{instance}}", `process_open_fds{$} / process_max_fds{$}`),
			}},
		},
	}
}

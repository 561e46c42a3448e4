package dashboard

func auditing() Dashboard {
	return Dashboard{
		ID: "gatehouse-audit", Title: "Gatehouse / Audit and detection", About: "What is recorded, what of it is lost, what is found in it, and who is told.",
		Rows: []Row{
			{"Is all of it there?", []Panel{
				stat("Lost, a day", "short", `sum(increase(gatehouse_audit_store_appended_events_total{$,result!~"kept|duplicate"}[1d]))`).bad(1),
				stat("Gaps", "short", `sum(gatehouse_audit_store_gaps{$})`).bad(1),
				stat("Truncated, a day", "short", `sum(increase(gatehouse_audit_store_truncated_events_total{$}[1d]))`).bad(1),
				stat("Set aside", "short", `sum(gatehouse_audit_store_quarantined_files{$})`).bad(1),
				stat("Newest event, ago", "s", `time() - max(gatehouse_audit_store_newest_event_timestamp_seconds{$})`).bad(600),
				stat("Impaired", "short", `sum(gatehouse_audit_store_impaired{$})`).bad(1),
			}},
			{"Events", []Panel{
				lines("By what became of them", "reqps", "{{result}}", `sum by (result) (rate(gatehouse_audit_store_appended_events_total{$}[$rate]))`).stacked(),
				lines("By level of the policy", "reqps", "{{level}}", `sum by (level) (rate(apiserver_audit_level_total{$}[$rate]))`).stacked(),
				quantiles("From the request to the store", "gatehouse_audit_store_keep_lag_seconds", ""),
				lines("Requests refused for it, errors", "reqps", "refused", `sum(rate(apiserver_audit_requests_rejected_total{$}[$rate]))`, "errors {{plugin}}", orNone(`sum by (plugin) (rate(apiserver_audit_error_total{$}[$rate]))`)).bad(.001),
			}},
			{"The store", []Panel{
				lines("Size", "bytes", "{{instance}}", `gatehouse_audit_store_bytes{$}`, "{{instance}} limit", `gatehouse_audit_store_limit_bytes{$}`),
				lines("Room on the disk", "percentunit", "{{instance}}", `gatehouse_audit_store_disk_available_bytes{$} / gatehouse_audit_store_disk_size_bytes{$}`),
				lines("Events, segments", "short", "{{instance}} events", `gatehouse_audit_store_events{$}`, "{{instance}} segments", `gatehouse_audit_store_segments{$}`),
				lines("Waiting to be sealed", "s", "{{instance}}", `gatehouse_audit_store_seal_lag_seconds{$}`),
			}},
			{"The disk", []Panel{
				lines("Written", "Bps", "{{instance}}", `rate(gatehouse_audit_store_written_bytes_total{$}[$rate])`),
				quantiles("A sync takes", "gatehouse_audit_store_sync_duration_seconds", ""),
				lines("A seal takes, on average", "s", "{{instance}}", `rate(gatehouse_audit_store_seal_duration_seconds_sum{$}[1h]) / (rate(gatehouse_audit_store_seal_duration_seconds_count{$}[1h]) > 0) or 0 * gatehouse_audit_store_segments{$}`),
				lines("Fails", "reqps", "{{operation}}", `sum by (operation) (rate(gatehouse_audit_store_failures_total{$}[$rate]))`).bad(.001),
			}},
			{"Copies", []Panel{
				lines("Segments that wait for the bucket", "short", "{{instance}}", orNone(`gatehouse_audit_publish_waiting_segments{$}`)),
				lines("Copied, failed", "reqps", "copied", orNone(`sum(rate(gatehouse_audit_publish_segments_total{$}[$rate]))`), "failed", orNone(`sum(rate(gatehouse_audit_publish_failures_total{$}[$rate]))`)),
				lines("To the collector", "reqps", "taken", orNone(`sum(rate(gatehouse_audit_export_events_total{$}[$rate]))`), "dropped", orNone(`sum(rate(gatehouse_audit_export_dropped_events_total{$}[$rate]))`)),
			}},
			{"Detection", []Panel{
				lines("Events judged, skipped", "reqps", "judged", `sum(rate(gatehouse_detect_events_total{$}[$rate]))`, "skipped", `sum(rate(gatehouse_detect_events_skipped_total{$}[$rate]))`),
				lines("Behind", "s", "{{instance}}", `gatehouse_detect_lag_seconds{$}`),
				lines("Rules by sight", "short", "{{state}}", `max by (state) (gatehouse_detect_rules{$})`).stacked(),
				lines("Cannot be evaluated, forgotten", "reqps", "cannot be evaluated", `sum(rate(gatehouse_detect_evaluations_failed_total{$}[$rate]))`, "forgotten", `sum(rate(gatehouse_detect_keys_evicted_total{$}[$rate]))`),
			}},
			{"Findings and who is told", []Panel{
				lines("New, an hour", "short", "{{severity}}", `sum by (severity) (increase(gatehouse_detect_findings_total{$}[1h]))`).stacked(),
				lines("Open", "short", "{{severity}}", `sum by (severity) (gatehouse_detect_findings_open{$})`).stacked(),
				lines("Sent", "reqps", "{{sink_type}} {{result}}", orNone(`sum by (sink_type, result) (rate(gatehouse_alert_sends_total{$}[$rate]))`)),
				lines("Waiting, dropped", "short", "waiting {{sink_type}}", orNone(`sum by (sink_type) (gatehouse_alert_queue_alerts{$})`), "dropped an hour {{sink_type}}", orNone(`sum by (sink_type) (increase(gatehouse_alert_queue_dropped_alerts_total{$}[1h]))`)),
			}},
		},
	}
}

func secrets() Dashboard {
	const transformed = "apiserver_storage_transformation_operations_total"
	return Dashboard{
		ID: "gatehouse-secrets", Title: "Gatehouse / Secrets, keys and certificates", About: "What is encrypted with what, how old keys are, and when certificates end.",
		Rows: []Row{
			{"Now", []Panel{
				stat("Entries in the clear", "short", `sum(gatehouse_secret_plaintext_rules{$})`).bad(1),
				stat("Oldest key", "s", `time() - min(gatehouse_secret_key_first_seen_timestamp_seconds{$})`),
				stat("First certificate ends in", "s", `min(gatehouse_pki_certificate_expiry_timestamp_seconds{$}) - time()`),
				stat("Certificates that are not served", "short", `sum(gatehouse_pki_certificate_unserved{$})`).bad(1),
			}},
			{"Encryption at rest", []Panel{
				lines("Operations", "reqps", "{{resource}} {{transformation_type}} {{status}}", `sum by (resource, transformation_type, status) (rate(`+transformed+`{$}[$rate]))`),
				lines("Fails", "reqps", "{{resource}}", orNone(`sum by (resource) (rate(`+transformed+`{$,status!="OK"}[$rate]))`)).bad(.001),
				quantiles("How long they take", "apiserver_storage_transformation_duration_seconds", "", "transformation_type"),
				lines("Changed configuration", "short", "taken, a day", orNone(`sum(increase(apiserver_encryption_config_controller_automatic_reloads_total{$,status="success"}[1d]))`),
					"refused, a day", orNone(`sum(increase(apiserver_encryption_config_controller_automatic_reloads_total{$,status="failure"}[1d]))`)),
			}},
			{"Keys", []Panel{
				lines("How old", "s", "{{instance}} {{key}}", `time() - gatehouse_secret_key_first_seen_timestamp_seconds{$}`),
				lines("Data keys of a KMS", "reqps", "made", orNone(`sum(rate(apiserver_storage_data_key_generation_duration_seconds_count{$}[$rate]))`), "failed", orNone(`sum(rate(apiserver_storage_data_key_generation_failures_total{$}[$rate]))`)),
			}},
			{"Certificates", []Panel{
				lines("On disk, end in", "s", "{{instance}} {{certificate}}", `gatehouse_pki_certificate_expiry_timestamp_seconds{$} - time()`),
				lines("As clients are shown them, end in", "s", "{{instance}} {{certificate}}", `gatehouse_pki_served_certificate_expiry_timestamp_seconds{$} - time()`),
				lines("On disk, and not served", "short", "{{instance}} {{certificate}}", `gatehouse_pki_certificate_unserved{$}`).bad(1),
				lines("Renewals and looks that failed, an hour", "short", "renewals", `sum(increase(gatehouse_pki_renewal_failures_total{$}[1h]))`, "looks", `sum(increase(gatehouse_pki_certificate_check_failures_total{$}[1h]))`).bad(1),
			}},
			{"Settings files", []Panel{
				lines("Not in force", "short", "{{instance}} {{file}}", `gatehouse_settings_stale{$}`).bad(1),
				lines("Read again, a day", "short", "{{file}} {{result}}", `sum by (file, result) (increase(gatehouse_settings_reloads_total{$}[1d]))`),
			}},
		},
	}
}

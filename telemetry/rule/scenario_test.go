package rule_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/telemetry/rule"
)

// past is series of the server that is watched: its own labels are added to each.
type past map[string]string

// scenarios has for each alert a past in which it fires, and one in which it does not,
// both at a minute a sample. What both have is in before.
var scenarios = map[string]struct {
	at                   string
	before, fires, quiet past
}{
	"GatehouseAPIAvailabilityBurnsFast": {at: "40m", before: past{`apiserver_request_total{code="200",verb="GET",subresource=""}`: "0+600x60", `apiserver_request_total{code="500",verb="GET",subresource="/readyz"}`: "0+900x60"},
		fires: past{`apiserver_request_total{code="503",verb="LIST",subresource=""}`: "0+20x60"}, quiet: past{`apiserver_request_total{code="503",verb="LIST",subresource=""}`: "0+2x60"}},
	"GatehouseAPIAvailabilityBurnsSlowly": {at: "60m", before: past{`apiserver_request_total{code="200",verb="GET",subresource=""}`: "0+1000x60"},
		fires: past{`apiserver_request_total{code="500",verb="POST",subresource=""}`: "0+2x60"}, quiet: past{}},
	"GatehouseAPILatencyBurnsFast": {at: "40m", before: past{
		`apiserver_request_sli_duration_seconds_count{verb="GET",scope="resource"}`: "0+100x60", `apiserver_request_sli_duration_seconds_count{verb="LIST",scope="cluster"}`: "0+100x60",
		`apiserver_request_sli_duration_seconds_bucket{verb="LIST",scope="cluster",le="1"}`: "0+0x60", `apiserver_request_sli_duration_seconds_bucket{verb="LIST",scope="cluster",le="30"}`: "0+100x60"},
		fires: past{`apiserver_request_sli_duration_seconds_bucket{verb="GET",scope="resource",le="1"}`: "0+50x60"}, quiet: past{`apiserver_request_sli_duration_seconds_bucket{verb="GET",scope="resource",le="1.0"}`: "0+99x60"}},
	"GatehouseAPILatencyBurnsSlowly": {at: "60m", before: past{`apiserver_request_sli_duration_seconds_count{verb="LIST",scope="namespace"}`: "0+1000x60"},
		fires: past{`apiserver_request_sli_duration_seconds_bucket{verb="LIST",scope="namespace",le="5"}`: "0+980x60"}, quiet: past{`apiserver_request_sli_duration_seconds_bucket{verb="LIST",scope="namespace",le="5"}`: "0+995x60"}},
	"GatehouseAdmissionLatencyBurnsFast": {at: "40m", before: past{`apiserver_admission_step_admission_duration_seconds_count{type="admit"}`: "0+100x60"},
		fires: past{`apiserver_admission_step_admission_duration_seconds_bucket{type="admit",le="0.5"}`: "0+70x60"}, quiet: past{`apiserver_admission_step_admission_duration_seconds_bucket{type="admit",le="0.5"}`: "0+98x60"}},
	"GatehouseAdmissionLatencyBurnsSlowly": {at: "60m", before: past{`apiserver_admission_step_admission_duration_seconds_count{type="admit"}`: "0+100x60"},
		fires: past{`apiserver_admission_step_admission_duration_seconds_bucket{type="admit",le="0.5"}`: "0+98x60"}, quiet: past{`apiserver_admission_step_admission_duration_seconds_bucket{type="admit",le="0.5"}`: "0+100x60"}},
	"GatehouseAttachAvailabilityBurnsFast": {at: "40m", before: past{`gatehouse_attach_requests_total{endpoint="/authorize",code="200"}`: "0+100x60"},
		fires: past{`gatehouse_attach_requests_total{endpoint="/authorize",code="503"}`: "0+10x60"}, quiet: past{`gatehouse_attach_requests_total{endpoint="/authorize",code="400"}`: "0+10x60"}},
	"GatehouseAttachAvailabilityBurnsSlowly": {at: "60m", before: past{`gatehouse_attach_requests_total{endpoint="/authorize",code="200"}`: "0+1000x60"},
		fires: past{`gatehouse_attach_requests_total{endpoint="/validate",code="500"}`: "0+2x60"}, quiet: past{}},
	"GatehouseAttachLatencyBurnsFast": {at: "40m", before: past{`gatehouse_attach_request_duration_seconds_count{endpoint="/mutate"}`: "0+100x60"},
		fires: past{`gatehouse_attach_request_duration_seconds_bucket{endpoint="/mutate",le="0.5"}`: "0+50x60"}, quiet: past{`gatehouse_attach_request_duration_seconds_bucket{endpoint="/mutate",le="0.5"}`: "0+99x60"}},
	"GatehouseAttachLatencyBurnsSlowly": {at: "60m", before: past{`gatehouse_attach_request_duration_seconds_count{endpoint="/mutate"}`: "0+100x60"},
		fires: past{`gatehouse_attach_request_duration_seconds_bucket{endpoint="/mutate",le="0.5"}`: "0+98x60"}, quiet: past{`gatehouse_attach_request_duration_seconds_bucket{endpoint="/mutate",le="0.5"}`: "0+100x60"}},

	"GatehouseDown":               {at: "10m", fires: past{`up`: "1x5 0x10"}, quiet: past{`up`: "1x8 0 1x10"}},
	"GatehouseAbsent":             {at: "20m", fires: past{`up{job="other"}`: "1x30"}, quiet: past{`up`: "0x30"}},
	"GatehouseRestarts":           {at: "40m", fires: past{`process_start_time_seconds`: "1x10 2x5 3x5 4x30"}, quiet: past{`process_start_time_seconds`: "1x10 2x40"}},
	"GatehouseSettingsStale":      {at: "20m", fires: past{`gatehouse_settings_stale{file="audit policy"}`: "0x5 1x30"}, quiet: past{`gatehouse_settings_stale{file="audit policy"}`: "0x5 1 1 0x30"}},
	"GatehouseFlowControlRejects": {at: "30m", fires: past{`apiserver_flowcontrol_rejected_requests_total{priority_level="workload-low"}`: "0+60x30"}, quiet: past{`apiserver_flowcontrol_rejected_requests_total{priority_level="workload-low"}`: "0+1x30"}},
	"GatehouseEtcdSlow": {at: "30m", before: past{`etcd_request_duration_seconds_bucket{operation="create",le="+Inf"}`: "0+100x30"},
		fires: past{`etcd_request_duration_seconds_bucket{operation="create",le="0.1"}`: "0+90x30", `etcd_request_duration_seconds_bucket{operation="create",le="1"}`: "0+100x30"},
		quiet: past{`etcd_request_duration_seconds_bucket{operation="create",le="0.1"}`: "0+100x30", `etcd_request_duration_seconds_bucket{operation="list",le="0.1"}`: "0+0x30", `etcd_request_duration_seconds_bucket{operation="list",le="+Inf"}`: "0+100x30"}},
	"GatehouseEtcdNearQuota": {at: "10m", before: past{`gatehouse_etcd_quota_bytes`: "1000x20"}, fires: past{`apiserver_storage_size_bytes{storage_cluster_id="etcd-0"}`: "900x20"}, quiet: past{`apiserver_storage_size_bytes{storage_cluster_id="etcd-0"}`: "700x20"}},

	"GatehouseAuthenticationFails": {at: "30m", before: past{`gatehouse_authn_decisions_total{verdict="authenticated"}`: "0+10x30"},
		fires: past{`gatehouse_authn_decisions_total{verdict="error"}`: "0+20x30"}, quiet: past{`gatehouse_authn_decisions_total{verdict="error"}`: "0+5x30"}},
	"GatehouseRevokedCredentialUsed":      {at: "20m", fires: past{`gatehouse_authn_decisions_total{verdict="revoked"}`: "0x15 1x10"}, quiet: past{`gatehouse_authn_decisions_total{verdict="revoked"}`: "7x30"}},
	"GatehouseRevocationInvalid":          {at: "10m", fires: past{`gatehouse_authn_invalid_revocations`: "1x20"}, quiet: past{`gatehouse_authn_invalid_revocations`: "0x20"}},
	"GatehouseCRLExpires":                 {at: "20m", fires: past{`gatehouse_authn_crl_next_update_timestamp_seconds`: "7200x30"}, quiet: past{`gatehouse_authn_crl_next_update_timestamp_seconds`: "200000x30"}},
	"GatehouseGuardInvalid":               {at: "10m", fires: past{`gatehouse_authz_invalid_guards`: "1x20"}, quiet: past{`gatehouse_authz_invalid_guards`: "0x20"}},
	"GatehouseAuthorizationErrors":        {at: "20m", fires: past{`gatehouse_authz_decisions_total{verdict="error"}`: "0+1x30"}, quiet: past{`gatehouse_authz_decisions_total{verdict="deny"}`: "0+1x30", `gatehouse_authz_decisions_total{verdict="error"}`: "3x30"}},
	"GatehouseAuthorizationWebhookErrors": {at: "20m", fires: past{`apiserver_authorization_webhook_evaluations_total{name="w",result="timeout"}`: "0+1x30"}, quiet: past{`apiserver_authorization_webhook_evaluations_total{name="w",result="success"}`: "0+9x30", `apiserver_authorization_webhook_evaluations_total{name="w",result="canceled"}`: "0+1x30"}},
	"GatehousePolicyErrors":               {at: "20m", fires: past{`gatehouse_policy_results_total{kind="K",policy="p",result="error"}`: "0+1x30"}, quiet: past{`gatehouse_policy_results_total{kind="K",policy="p",result="deny"}`: "0+1x30"}},
	"GatehouseNativePolicyErrors":         {at: "20m", fires: past{`apiserver_validating_admission_policy_check_total{policy="p",error_type="invalid_error"}`: "0+1x30"}, quiet: past{`apiserver_validating_admission_policy_check_total{policy="p",error_type="no_error"}`: "0+1x30"}},
	"GatehouseAdmissionWebhookFails":      {at: "20m", fires: past{`apiserver_admission_webhook_rejection_count{name="w",error_type="calling_webhook_error"}`: "0+1x30"}, quiet: past{`apiserver_admission_webhook_rejection_count{name="w",error_type="no_error"}`: "0+1x30"}},
	"GatehouseAdmissionWebhookFailsOpen":  {at: "20m", fires: past{`apiserver_admission_webhook_fail_open_count{name="w"}`: "0+1x30"}, quiet: past{`apiserver_admission_webhook_fail_open_count{name="w"}`: "4x30"}},
	"GatehouseScanFails":                  {at: "60m", fires: past{`gatehouse_scan_read_failures_total`: "0+1x70"}, quiet: past{`gatehouse_scan_read_failures_total`: "0+1x10 10x60"}},

	"GatehouseAuditEventsLost": {at: "20m", before: past{`gatehouse_audit_store_appended_events_total{result="kept"}`: "0+100x30"},
		fires: past{`gatehouse_audit_store_appended_events_total{result="dropped"}`: "0x15 3x15"}, quiet: past{`gatehouse_audit_store_appended_events_total{result="duplicate"}`: "0+9x30", `gatehouse_audit_store_appended_events_total{result="dropped"}`: "3x30"}},
	"GatehouseAuditSilent": {at: "40m", before: past{`apiserver_request_total{code="201",verb="POST",resource="pods"}`: "0+60x60", `gatehouse_audit_store_events`: "5x60"},
		fires: past{`gatehouse_audit_store_appended_events_total{result="kept"}`: "0+60x10 600x50"}, quiet: past{`gatehouse_audit_store_appended_events_total{result="kept"}`: "0+1x60"}},
	"GatehouseAuditRejectsRequests": {at: "20m", fires: past{`apiserver_audit_requests_rejected_total`: "0x15 1x10"}, quiet: past{`apiserver_audit_requests_rejected_total`: "0x30"}},
	"GatehouseAuditErrors":          {at: "20m", before: past{`up`: "1x30"}, fires: past{`apiserver_audit_error_total{plugin="log"}`: "_x15 1x10"}, quiet: past{`apiserver_audit_error_total{plugin="log"}`: "2x30"}},
	"GatehouseAuditImpaired":        {at: "10m", fires: past{`gatehouse_audit_store_impaired`: "1x20"}, quiet: past{`gatehouse_audit_store_impaired`: "0x20"}},
	"GatehouseAuditWriteFails":      {at: "40m", fires: past{`gatehouse_audit_store_failures_total{operation="seal"}`: "0+1x50"}, quiet: past{`gatehouse_audit_store_failures_total{operation="seal"}`: "1x50"}},
	"GatehouseAuditLag": {at: "40m", before: past{`gatehouse_audit_store_keep_lag_seconds_bucket{le="+Inf"}`: "0+100x50", `gatehouse_audit_store_keep_lag_seconds_bucket{le="300"}`: "0+100x50"},
		fires: past{`gatehouse_audit_store_keep_lag_seconds_bucket{le="30"}`: "0+10x50"}, quiet: past{`gatehouse_audit_store_keep_lag_seconds_bucket{le="30"}`: "0+100x50"}},
	"GatehouseAuditSealLag":        {at: "40m", fires: past{`gatehouse_audit_store_seal_lag_seconds`: "7200x50"}, quiet: past{`gatehouse_audit_store_seal_lag_seconds`: "300x50"}},
	"GatehouseAuditTruncated":      {at: "40m", fires: past{`gatehouse_audit_store_truncated_events_total`: "0x20 1x30"}, quiet: past{`gatehouse_audit_store_truncated_events_total`: "1x50"}},
	"GatehouseAuditGap":            {at: "40m", fires: past{`gatehouse_audit_store_gaps`: "1x30 2x20"}, quiet: past{`gatehouse_audit_store_gaps`: "2x50"}},
	"GatehouseAuditDamaged":        {at: "40m", fires: past{`gatehouse_audit_store_quarantined_files`: "0x30 1x20"}, quiet: past{`gatehouse_audit_store_quarantined_files`: "1x50"}},
	"GatehouseAuditStoreNearLimit": {at: "50m", before: past{`gatehouse_audit_store_bytes`: "95x60"}, fires: past{`gatehouse_audit_store_limit_bytes`: "100x60"}, quiet: past{`gatehouse_audit_store_limit_bytes`: "0x60"}},
	"GatehouseAuditDiskFills":      {at: "20m", before: past{`gatehouse_audit_store_disk_size_bytes`: "100x30"}, fires: past{`gatehouse_audit_store_disk_available_bytes`: "5x30"}, quiet: past{`gatehouse_audit_store_disk_available_bytes`: "20x30"}},
	"GatehouseAuditPublishFails":   {at: "80m", before: past{`gatehouse_audit_publish_waiting_segments`: "3x90"}, fires: past{`gatehouse_audit_publish_failures_total`: "0+1x90"}, quiet: past{`gatehouse_audit_publish_failures_total`: "5x90"}},
	"GatehouseAuditExportDrops":    {at: "40m", fires: past{`gatehouse_audit_export_dropped_events_total{cause="queue full"}`: "0+1x50"}, quiet: past{`gatehouse_audit_export_dropped_events_total{cause="queue full"}`: "4x50"}},

	"GatehouseCertificateExpiresSoon":  {at: "30m", fires: past{`gatehouse_pki_served_certificate_expiry_timestamp_seconds{certificate="serving"}`: "864000x40"}, quiet: past{`gatehouse_pki_certificate_expiry_timestamp_seconds{certificate="serving"}`: "8640000x40"}},
	"GatehouseCertificateExpires":      {at: "10m", fires: past{`gatehouse_pki_certificate_expiry_timestamp_seconds{certificate="etcd-client"}`: "86400x20"}, quiet: past{`gatehouse_pki_certificate_expiry_timestamp_seconds{certificate="etcd-client"}`: "864000x20"}},
	"GatehouseCertificateUnserved":     {at: "20m", fires: past{`gatehouse_pki_certificate_unserved{certificate="serving"}`: "0x5 1x30"}, quiet: past{`gatehouse_pki_certificate_unserved{certificate="serving"}`: "0x5 1 1 0x30"}},
	"GatehouseCertificateCheckFails":   {at: "40m", fires: past{`gatehouse_pki_certificate_check_failures_total`: "0+1x50"}, quiet: past{`gatehouse_pki_certificate_check_failures_total`: "1x50"}},
	"GatehouseCertificateRenewalFails": {at: "70m", fires: past{`gatehouse_pki_renewal_failures_total`: "0+1x80"}, quiet: past{`gatehouse_pki_renewal_failures_total`: "0x80"}},
	"GatehouseAuthorityExpires":        {at: "90m", fires: past{`gatehouse_pki_certificate_expiry_timestamp_seconds{certificate="cluster-ca"}`: "8640000x100"}, quiet: past{`gatehouse_pki_certificate_expiry_timestamp_seconds{certificate="serving"}`: "8640000x100", `gatehouse_pki_certificate_expiry_timestamp_seconds{certificate="cluster-ca"}`: "86400000x100"}},
	"GatehouseKeyTooOld":               {at: "90m", fires: past{`gatehouse_secret_key_first_seen_timestamp_seconds{key="encryption"}`: "-20000000x100"}, quiet: past{`gatehouse_secret_key_first_seen_timestamp_seconds{key="encryption"}`: "-2000000x100", `gatehouse_secret_key_first_seen_timestamp_seconds{key="service-account"}`: "-20000000x100"}},
	"GatehouseSecretsInPlaintext":      {at: "20m", fires: past{`gatehouse_secret_plaintext_rules`: "1x30"}, quiet: past{`gatehouse_secret_plaintext_rules`: "0x30"}},
	"GatehouseEncryptionReloadFails":   {at: "20m", before: past{`up`: "1x30"}, fires: past{`apiserver_encryption_config_controller_automatic_reloads_total{status="failure"}`: "_x15 1x10"}, quiet: past{`apiserver_encryption_config_controller_automatic_reloads_total{status="success"}`: "_x15 1x10", `apiserver_encryption_config_controller_automatic_reloads_total{status="failure"}`: "1x30"}},
	"GatehouseDecryptionFails":         {at: "20m", before: past{`up`: "1x30"}, fires: past{`apiserver_storage_transformation_operations_total{resource="secrets",status="Unknown"}`: "_x15 1x10"}, quiet: past{`apiserver_storage_transformation_operations_total{resource="secrets",status="OK"}`: "0+9x30"}},

	"GatehouseDetectionSkips": {at: "20m", fires: past{`gatehouse_detect_events_skipped_total`: "0x15 9x10"}, quiet: past{`gatehouse_detect_events_skipped_total`: "9x30"}},
	"GatehouseDetectionLag":   {at: "20m", fires: past{`gatehouse_detect_lag_seconds`: "100x30"}, quiet: past{`gatehouse_detect_lag_seconds`: "2x30"}},
	"GatehouseDetectionStopped": {at: "50m", before: past{`gatehouse_audit_store_appended_events_total{result="kept"}`: "0+60x60"},
		fires: past{`gatehouse_detect_events_total`: "9x60"}, quiet: past{`gatehouse_detect_events_total`: "0+60x60"}},
	"GatehouseRulesBlinded":        {at: "100m", before: past{`gatehouse_detect_rules{state="refused"}`: "0+1x100"}, fires: past{`gatehouse_detect_rules{state="blind"}`: "20x80 60x40"}, quiet: past{`gatehouse_detect_rules{state="blind"}`: "20x80 10x40"}},
	"GatehouseRulesRefused":        {at: "30m", fires: past{`gatehouse_detect_rules{state="refused"}`: "1x40"}, quiet: past{`gatehouse_detect_rules{state="sees"}`: "60x40"}},
	"GatehouseRuleEvaluationFails": {at: "40m", fires: past{`gatehouse_detect_evaluations_failed_total`: "0+1x50"}, quiet: past{`gatehouse_detect_evaluations_failed_total`: "3x50"}},
	"GatehouseDetectionForgets":    {at: "60m", fires: past{`gatehouse_detect_keys_evicted_total`: "0+1x70"}, quiet: past{`gatehouse_detect_keys_evicted_total`: "3x70"}},
	"GatehouseAlertSinkFails": {at: "20m", before: past{`gatehouse_alert_sends_total{sink_type="slack",result="failure"}`: "0+1x30"},
		fires: past{`gatehouse_alert_sends_total{sink_type="slack",result="success"}`: "5x30"}, quiet: past{`gatehouse_alert_sends_total{sink_type="slack",result="success"}`: "0+1x30"}},
	"GatehouseAlertQueueFills": {at: "40m", fires: past{`gatehouse_alert_queue_alerts{sink_type="webhook"}`: "5000x50"}, quiet: past{`gatehouse_alert_queue_alerts{sink_type="webhook"}`: "10x50"}},
	"GatehouseAlertsDropped":   {at: "20m", fires: past{`gatehouse_alert_queue_dropped_alerts_total{sink_type="webhook"}`: "0x15 2x10"}, quiet: past{`gatehouse_alert_queue_dropped_alerts_total{sink_type="webhook"}`: "2x30"}},
}

// others are scenarios beyond one that fires and one that does not.
var others = []struct {
	name, at string
	fires    bool
	past
}{
	{"GatehouseAuditSilent", "40m", true, past{`gatehouse_attach_requests_total{endpoint="/validate",code="200"}`: "0+60x60", `gatehouse_audit_store_events`: "5x60"}},
	{"GatehouseAuditSilent", "40m", false, past{`gatehouse_attach_requests_total{endpoint="/validate",code="200"}`: "0+60x60"}}, // it keeps no events
	{"GatehouseAuditSilent", "40m", false, past{ // an idle server has nothing to record
		`apiserver_request_total{code="200",verb="PUT",resource="leases"}`: "0+60x60", `apiserver_request_total{code="200",verb="GET",resource=""}`: "0+60x60", `gatehouse_audit_store_events`: "5x60",
	}},
	{"GatehouseAuditErrors", "20m", true, past{`up`: "1x30", `apiserver_audit_error_total{plugin="log"}`: "1x15 2x10"}},
	{"GatehouseAuditErrors", "5m", false, past{`up`: "1x30", `apiserver_audit_error_total{plugin="log"}`: "7x30"}}, // Prometheus is new, not the error
	{"GatehouseAPIAvailabilityBurnsFast", "40m", false, past{`apiserver_request_total{code="500",verb="WATCH",subresource=""}`: "0+9x60", `apiserver_request_total{code="200",verb="GET",subresource=""}`: "0+9x60"}},
	{"GatehouseAPIAvailabilityBurnsFast", "80m", false, past{`apiserver_request_total{code="200",verb="GET",subresource=""}`: "0+600x90", `apiserver_request_total{code="500",verb="GET",subresource=""}`: "0+20x20 400x70"}}, // it is over
	{"GatehouseKeyTooOld", "90m", true, past{`gatehouse_secret_key_first_seen_timestamp_seconds{key="service-account"}`: "-80000000x100"}},
	{"GatehouseAlertSinkFails", "20m", true, past{`gatehouse_alert_sends_total{sink_type="slack",result="failure"}`: "0+1x30"}},
}

// watched adds the labels of the server that is watched, but for series of another job.
func watched(pasts ...past) map[string]string {
	const own = `job="gatehouse",instance="a"`
	all := map[string]string{}
	for _, p := range pasts {
		for series, values := range p {
			name, labels, found := strings.Cut(series, "{")
			switch {
			case !found:
				series = name + "{" + own + "}"
			case !strings.Contains(labels, "job="):
				series = name + "{" + own + "," + labels
			}
			all[series] = values
		}
	}
	return all
}

func TestAlerts(t *testing.T) {
	groups, err := rule.Groups(rule.Options{})
	if err != nil {
		t.Fatal(err)
	}
	file, err := rule.File(groups, rule.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// needed are the groups of an alert, and those whose recordings it reads.
	needed := map[string][]string{}
	for _, g := range groups {
		for i := range g.Alerts {
			needed[g.Alerts[i].Name] = []string{g.Name}
			if strings.Contains(g.Alerts[i].Condition, "gatehouse:slo_errors") {
				needed[g.Alerts[i].Name] = []string{groups[0].Name, g.Name}
			}
		}
	}
	left := maps.Clone(scenarios)
	type expected struct {
		name  string
		fires bool
	}
	var expectations []expected
	var cases []scenario
	for _, name := range rule.Names() {
		s, ok := scenarios[name]
		if !ok {
			t.Errorf("%s has no scenarios", name)
		}
		delete(left, name)
		expectations = append(expectations, expected{name, true}, expected{name, false})
		cases = append(cases, scenario{watched(s.before, s.fires), "1m", s.at, needed[name]}, scenario{watched(s.before, s.quiet), "1m", s.at, needed[name]})
	}
	for name := range left {
		t.Errorf("there is no alert %s", name)
	}
	for _, o := range others {
		expectations = append(expectations, expected{o.name, o.fires})
		cases = append(cases, scenario{watched(o.past), "1m", o.at, needed[o.name]})
	}
	if t.Failed() {
		return
	}
	got := ask(t, oracle(t), file, nil, cases)
	for _, e := range got.Errors {
		t.Error(e)
	}
	if len(got.Cases) != len(cases) {
		t.Fatalf("%d cases are answered, of %d", len(got.Cases), len(cases))
	}
	for i, want := range expectations {
		var found []fired
		for _, f := range got.Cases[i] {
			if f.Labels["alertname"] == want.name {
				found = append(found, f)
			}
		}
		if (len(found) > 0) != want.fires {
			t.Errorf("%s fires %v, in\n%v", want.name, len(found) > 0, cases[i].Series)
		}
		for _, f := range found {
			if f.Annotations["summary"] == "" || strings.Contains(f.Annotations["summary"], "error expanding") || strings.Contains(f.Annotations["summary"], "no value") {
				t.Errorf("%s says %q", want.name, f.Annotations["summary"])
			}
			if !strings.HasSuffix(f.Annotations["runbook_url"], "/"+want.name+".md") {
				t.Errorf("%s leads to %q", want.name, f.Annotations["runbook_url"])
			}
		}
	}
}

// TestSelector: a selector of one's own is in every query.
func TestSelector(t *testing.T) {
	o := rule.Options{Selector: `job="edge"`, Runbooks: "https://wiki.example.com/gatehouse"}
	groups, err := rule.Groups(o)
	if err != nil {
		t.Fatal(err)
	}
	file, err := rule.File(groups, o)
	if err != nil {
		t.Fatal(err)
	}
	text := string(file)
	if strings.Contains(text, "{$") || strings.Contains(text, `gatehouse.*`) || !strings.Contains(text, `up{job="edge"} == 0`) ||
		!strings.Contains(text, "runbook_url: https://wiki.example.com/gatehouse/GatehouseDown.md") {
		t.Error("the options are not in the file")
	}
	for _, g := range groups {
		for i := range g.Alerts {
			if c := g.Alerts[i].Condition; !strings.Contains(c, `job="edge"`) && !strings.Contains(c, "gatehouse:slo_errors") {
				t.Errorf("%s asks for the series of anybody: %s", g.Alerts[i].Name, c)
			}
		}
	}
	if _, err := rule.Groups(rule.Options{Selector: `{job="x"}`}); err == nil {
		t.Error("braces are taken")
	}
}

package rule

// keys are the alerts on certificates, keys and encryption.
func keys() Group {
	const ends = `(gatehouse_pki_served_certificate_expiry_timestamp_seconds{$} or gatehouse_pki_certificate_expiry_timestamp_seconds{$})`
	return Group{Name: "f.keys", Alerts: []Alert{
		{
			Name: "GatehouseCertificateExpiresSoon", Severity: Warning, For: "15m",
			Condition: ends + ` - time() < 14 * 24 * 3600`,
			Says:      "The certificate {{ $labels.certificate }} of {{ $labels.instance }} ends in {{ $value | humanizeDuration }}.",
			Means:     "Certificates of Gatehouse's own renew themselves when a third of their life is left, so one that comes this near to its end does not. A certificate of yours (`tls.certFile`) is yours to renew.",
			Check:     "`openssl x509 -noout -enddate -in DATA_DIR/pki/NAME.crt`; the log says why it is not renewed (`certificates are not renewed`).",
			Mend:      "A certificate of its own: see GatehouseCertificateRenewalFails. One of yours: put the new files in place; they are read again by themselves.",
		},
		{
			Name: "GatehouseCertificateExpires", Severity: Critical,
			Condition: ends + ` - time() < 2 * 24 * 3600`,
			Says:      "The certificate {{ $labels.certificate }} of {{ $labels.instance }} ends in {{ $value | humanizeDuration }}.",
			Means:     "After that, no client that checks it gets in.",
			Check:     "As for GatehouseCertificateExpiresSoon.",
			Mend:      "As for GatehouseCertificateExpiresSoon, today. A certificate authority cannot be renewed in place: make a new one, and give its clients both.",
		},
		{
			Name: "GatehouseCertificateUnserved", Severity: Critical, For: "5m",
			Condition: `gatehouse_pki_certificate_unserved{$} == 1`,
			Says:      "Clients of {{ $labels.instance }} are shown another certificate than the one on disk ({{ $labels.certificate }}).",
			Means:     "The file was renewed, and the process still shows the one before: when that ends clients are shut out, though the file looks good. Gatehouse finds out by connecting to itself as a client does.",
			Check:     "`openssl s_client -connect HOST:PORT </dev/null | openssl x509 -noout -serial -enddate`, beside the same of the file. Does the key beside it belong to it? The log says so where it does not.",
			Mend:      "Put certificate and key that belong together in place. Where they do, restart the server. Where something stands before it (a proxy), it is that one's certificate that clients see.",
		},
		{
			Name: "GatehouseCertificateCheckFails", Severity: Warning, For: "15m",
			Condition: `rate(gatehouse_pki_certificate_check_failures_total{$}[10m]) > 0`,
			Says:      "{{ $labels.instance }} cannot look at its own certificates.",
			Means:     "A file of `DATA_DIR/pki` or `tls.certFile` is gone or no certificate, or the server cannot connect to itself. Nothing is known of the certificate meanwhile.",
			Check:     "`ls -l DATA_DIR/pki`; `curl -k https://ADDRESS/livez` on the machine.",
			Mend:      "Put the file back. Leaf certificates that are gone are made anew within the hour.",
		},
		{
			Name: "GatehouseCertificateRenewalFails", Severity: Warning, For: "30m",
			Condition: `increase(gatehouse_pki_renewal_failures_total{$}[1h]) > 0`,
			Says:      "{{ $labels.instance }} cannot renew its certificates.",
			Means:     "The certificates are good until they end; GatehouseCertificateExpiresSoon says when that is near.",
			Check:     "The log: `certificates are not renewed`, with the mend.",
			Mend:      "A disk that is full or read-only, or a CA key that was moved away, is the rule: put it back.",
		},
		{
			Name: "GatehouseAuthorityExpires", Severity: Warning, For: "1h",
			Condition: `gatehouse_pki_certificate_expiry_timestamp_seconds{$,certificate=~".*-ca"} - time() < 180 * 24 * 3600`,
			Says:      "The certificate authority {{ $labels.certificate }} of {{ $labels.instance }} ends in {{ $value | humanizeDuration }}.",
			Means:     "An authority lives ten years, and everything that trusts it must be given the next one before.",
			Check:     "`openssl x509 -noout -enddate -in DATA_DIR/pki/NAME.crt`.",
			Mend:      "Plan the change: kubeconfigs, agents and whoever pins it need both authorities for a while.",
		},
		{
			Name: "GatehouseKeyTooOld", Severity: Warning, For: "1h",
			Condition: `time() - gatehouse_secret_key_first_seen_timestamp_seconds{$,key="encryption"} > 180 * 24 * 3600 or time() - gatehouse_secret_key_first_seen_timestamp_seconds{$,key!="encryption"} > 730 * 24 * 3600`,
			Says:      "The {{ $labels.key }} key of {{ $labels.instance }} is {{ $value | humanizeDuration }} old.",
			Means:     "The longer a key is used, the more copies of it there are, and the more is lost with it: half a year is enough for the key that Secrets are written with, two years for the one that signs tokens.",
			Check:     "`DATA_DIR/secret/key-ages.json` has when each key was first seen, by a digest.",
			Mend:      "Rotate it: docs/encryption.md for the encryption key, docs/service-accounts.md for the other.",
		},
		{
			Name: "GatehouseSecretsInPlaintext", Severity: Critical, For: "5m",
			Condition: `gatehouse_secret_plaintext_rules{$} > 0`,
			Says:      "{{ $labels.instance }} writes resources of its encryption configuration without encryption.",
			Means:     "An entry has `identity` as its first provider: what is written now lies in etcd, and in its backups, for anybody to read.",
			Check:     "`encryption.configFile`: the first provider of each entry.",
			Mend:      "Put an encrypting provider first, and write everything again: docs/encryption.md.",
		},
		{
			Name: "GatehouseEncryptionReloadFails", Severity: Critical,
			Condition: "sum by (job, instance) (" + appeared(`apiserver_encryption_config_controller_automatic_reloads_total{$,status="failure"}`, "15m") + ")",
			Says:      "{{ $labels.instance }} cannot take its changed encryption configuration.",
			Means:     "The configuration before is in force; a restart would refuse to begin.",
			Check:     "The log has the reason. With a KMS, is its plugin there (`/healthz/kms-providers`)?",
			Mend:      "Mend the file. Never remove a key that something is still encrypted with.",
		},
		{
			Name: "GatehouseDecryptionFails", Severity: Critical,
			Condition: "sum by (job, instance, resource) (" + appeared(`apiserver_storage_transformation_operations_total{$,status!="OK"}`, "15m") + ")",
			Says:      "{{ $labels.resource }} cannot be encrypted or decrypted by {{ $labels.instance }}.",
			Means:     "A key is missing from the encryption configuration, a KMS does not answer, or what is stored was changed. Lists that hold such an object fail whole.",
			Check:     "The message of a failing `kubectl get` names the object. Was a key taken out of `encryption.configFile`?",
			Mend:      "Put the key back, from the backup of the file.",
		},
	}}
}

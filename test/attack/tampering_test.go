package attack

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func webhook(kind, policy string) string {
	return "{apiVersion: admissionregistration.k8s.io/v1, kind: " + kind + ", metadata: {name: hook-NS}, webhooks: [{name: hook.example.com, sideEffects: None, admissionReviewVersions: [v1], timeoutSeconds: 1, failurePolicy: " + policy +
		", clientConfig: {service: {name: s, namespace: NS}}, namespaceSelector: {matchLabels: {nobody: has}}, rules: [{apiGroups: [\"\"], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}]}"
}

// gives makes a technique of removing or changing something that was there.
func gives(does, rule, object, patch string) technique {
	return technique{does: does, rules: []string{rule}, do: func(a *attacker) error {
		if err := a.given(object); err != nil {
			return err
		}
		if patch != "" {
			return a.patch(object, patch)
		}
		return a.remove(object)
	}}
}

const (
	policy = "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: policy-NS}, spec: {matchConstraints: {resourceRules: [{apiGroups: [\"\"], apiVersions: [v1], operations: [CREATE], resources: [endpoints]}]}, validations: [{expression: \"true\"}]}}"
)

var tamperingTechniques = []technique{
	{does: "puts in a webhook that changes what others write", rules: []string{"mutating-webhook"}, do: func(a *attacker) error {
		return a.create(webhook("MutatingWebhookConfiguration", "Fail"))
	}},
	gives("leads a mutating webhook elsewhere by a patch", "mutating-webhook", webhook("MutatingWebhookConfiguration", "Fail"), `{"metadata":{"labels":{"a":"b"}}}`),
	gives("removes a webhook that refuses", "webhook-removed", webhook("ValidatingWebhookConfiguration", "Fail"), ""),
	gives("lets a webhook fail open", "webhook-weakened", webhook("ValidatingWebhookConfiguration", "Ignore"), `{"metadata":{"labels":{"a":"b"}}}`),
	gives("removes an admission policy", "webhook-removed", policy, ""),
	gives("removes a policy of Gatekeeper", "policy-removed", "{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: NoPrivilege, metadata: {name: policy-NS}}", ""),
	gives("removes a Guard", "gatehouse-changed", "{apiVersion: gatehouse.io/v1alpha1, kind: Guard, metadata: {name: gone-NS}, spec: {subjects: {users: [nobody]}, verbs: [delete], resources: [configmaps], reason: none}}", ""),
	{does: "mutes what is noticed", rules: []string{"detection-changed"}, do: func(a *attacker) error {
		return a.create("{apiVersion: gatehouse.io/v1alpha1, kind: Mute, metadata: {name: quiet-NS}, spec: {match: {rules: [no-such-rule]}, owner: me, reason: quiet, expiresAt: \"2099-01-01T00:00:00Z\"}}")
	}},
	{does: "opens a namespace for privileged pods", rules: []string{"namespace-pod-security"}, do: func(a *attacker) error {
		return a.patch("{apiVersion: v1, kind: Namespace, metadata: {name: NS}}", `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged","again":"yes"}}}`)
	}},
	gives("removes a NetworkPolicy", "network-policy-removed", "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: NS}, spec: {podSelector: {}}}", ""),
	{does: "deletes the events of a namespace", rules: []string{"events-deleted"}, do: func(a *attacker) error {
		return a.kube.CoreV1().Events(a.ns).DeleteCollection(a.ctx(), metav1.DeleteOptions{}, metav1.ListOptions{})
	}},
	gives("stops what ships the audit log", "audit-tampering", workload("DaemonSet", "fluent-bit", "NS", plain), ""),
	gives("changes the configuration of CoreDNS", "dns-configuration", named("coredns"), `{"data":{"Corefile":"."}}`),
	gives("changes the configuration of kube-proxy", "proxy-configuration", named("kube-proxy"), `{"data":{"config.conf":"."}}`),
	gives("maps a cloud identity to an administrator", "identity-mapping", named("aws-auth"), `{"data":{"mapUsers":"."}}`),
	{does: "puts an API of its own into the server", rules: []string{"api-service"}, do: func(a *attacker) error {
		return a.create("{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1.mine.example.com}, spec: {group: mine.example.com, version: v1, groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true, service: {name: s, namespace: NS}}}")
	}},
}

func named(name string) string {
	return "{apiVersion: v1, kind: ConfigMap, metadata: {name: " + name + ", namespace: kube-system}, data: {a: b}}"
}

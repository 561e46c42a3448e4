package v1alpha1

import (
	"strings"
	"testing"
)

func TestBuiltinPoliciesSchema(t *testing.T) {
	validate := validatorOf(t, crd(t, "BuiltinPolicies"))
	policies := func(text string) string { return `{policies: [` + text + `]}` }
	exempt := func(text string) string { return `{sets: [{name: All}], exemptions: [` + text + `]}` }
	for _, c := range []struct {
		name, spec string
		// want is part of the error; "" accepts.
		want string
	}{
		{"one policy", policies(`{name: DisallowHostNetwork}`), ""},
		{"every action", policies(`{name: DisallowHostNetwork, action: Enforce}, {name: DisallowHostPID, action: Warn}, {name: DisallowHostIPC, action: Report}, {name: DisallowTiller, action: Disabled}`), ""},
		{"a set", `{sets: [{name: All, action: Report}]}`, ""},
		{"a set and one of its policies", `{sets: [{name: Pods}], policies: [{name: DisallowTiller, action: Disabled}]}`, ""},
		{"images", policies(`{name: TrustedRepositories, trustedRepositories: {images: ["registry.example.com/*"], expressions: ["gcr\\.io/team-.*"]}}`), ""},
		{"sizes", policies(`{name: EmptyDirSizeLimit, emptyDirSizeLimit: {default: 64Mi, maximum: 1Gi}}`), ""},
		{"one size", policies(`{name: EmptyDirSizeLimit, emptyDirSizeLimit: {maximum: 1Gi}}`), ""},
		{"no size", policies(`{name: EmptyDirSizeLimit, emptyDirSizeLimit: {maximum: large}}`), "spec.policies[0].emptyDirSizeLimit.maximum"},
		{"localhost", policies(`{name: DefaultSeccomp, defaultSeccomp: {type: Localhost, localhostProfile: a.json}}`), ""},
		{"localhost without file", policies(`{name: DefaultSeccomp, defaultSeccomp: {type: Localhost}}`), "localhostProfile belongs"},
		{"file without localhost", policies(`{name: DefaultSeccomp, defaultSeccomp: {localhostProfile: a.json}}`), "localhostProfile belongs"},
		{"unconfined", policies(`{name: DefaultSeccomp, defaultSeccomp: {type: Unconfined}}`), "defaultSeccomp.type"},
		{"pull policy", policies(`{name: ImagePullPolicy, imagePullPolicy: {rules: [{images: ["*:latest"], pullPolicy: Always}]}}`), ""},
		{"pull policy of no image", policies(`{name: ImagePullPolicy, imagePullPolicy: {rules: [{pullPolicy: Always}]}}`), "name images or expressions"},
		{"classes", policies(`{name: IngressClassExemption, ingressClassExemption: {classes: [public]}}`), ""},
		{"annotations", policies(`{name: LoadBalancerExemption, loadBalancerExemption: {annotations: [{annotation: networking.gke.io/load-balancer-type, values: [Internal]}]}}`), ""},
		{"gateways", policies(`{name: VirtualServiceGateway, virtualServiceGateway: {gateways: [istio/internal], allowEmpty: true}}`), ""},
		{"keys", policies(`{name: DisallowPlaintextSecrets, disallowPlaintextSecrets: {ignoreKeys: ["*_PUBLIC"], knownFormsOnly: true}}`), ""},
		{"exemption", exempt(`{policies: [DisallowHost*], clusters: [dev], namespaces: [kube-system], names: ["a*"], users: [anna], groups: [devs]}`), ""},
		{"exemption by name", exempt(`{names: ["*"]}`), ""},

		{"nothing", `{}`, "nothing is switched on"},
		{"empty lists", `{sets: [], policies: []}`, "nothing is switched on"},
		{"exemptions alone", `{exemptions: [{names: [a]}]}`, "nothing is switched on"},
		{"unknown policy", policies(`{name: DisallowHostNetworks}`), "spec.policies[0].name"},
		{"policy by K-Rail's key", policies(`{name: pod_no_host_network}`), "spec.policies[0].name"},
		{"unknown set", `{sets: [{name: Everything}]}`, "spec.sets[0].name"},
		{"unknown action", policies(`{name: DisallowTiller, action: deny}`), "spec.policies[0].action"},
		{"twice", policies(`{name: DisallowTiller}, {name: DisallowTiller, action: Warn}`), ""}, // the API server checks list maps, the engine files
		{"parameters of another", policies(`{name: DisallowTiller, trustedRepositories: {images: [a]}}`), "trustedRepositories belongs"},
		{"no repositories", policies(`{name: TrustedRepositories}`), "cannot do without"},
		{"empty repositories", policies(`{name: TrustedRepositories, trustedRepositories: {}}`), "name images or expressions"},
		{"no rules of pulling", policies(`{name: ImagePullPolicy}`), "cannot do without"},
		{"no classes", policies(`{name: IngressClassExemption}`), "cannot do without"},
		{"annotation without values", policies(`{name: LoadBalancerExemption, loadBalancerExemption: {annotations: [{annotation: a}]}}`), "values"},
		{"exemption from nothing", exempt(`{}`), "say what is exempt"},
		{"exemption of a policy alone", exempt(`{policies: [DisallowTiller]}`), "say what is exempt"},
		{"empty exemption", exempt(`{names: []}`), "spec.exemptions[0].names"},
		{"long name", exempt(`{names: ["` + strings.Repeat("x", 254) + `"]}`), "spec.exemptions[0].names"},
	} {
		t.Run(c.name, func(t *testing.T) { checkSpec(t, validate, "BuiltinPolicies", c.spec, c.want) })
	}
}

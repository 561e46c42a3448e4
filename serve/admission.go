package serve

import (
	"fmt"
	"os"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	kubeoptions "k8s.io/kubernetes/pkg/kubeapiserver/options"
	"sigs.k8s.io/yaml"

	gateadmission "github.com/gatehouse-io/gatehouse/admission"
	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// alwaysEnabled are the plugins on top of upstream's default set.
var alwaysEnabled = []string{"NodeRestriction", gateadmission.TokenLifeName, gateadmission.GuardCheckName, gateadmission.EndedGrantName, gateadmission.SecretSizeName, gateadmission.PolicyName}

// admissionOptions puts Gatehouse's plugins and defaults into upstream's chain.
func admissionOptions(o *kubeoptions.AdmissionOptions, cfg *v1alpha1.ServeConfiguration, d *dataDir, checks *authorizationChecks) error {
	g := o.GenericAdmission
	gateadmission.RegisterSecretSize(g.Plugins, cfg.Encryption.SecretSizeWarning.Value(), internalSecret)
	gateadmission.RegisterGuardCheck(g.Plugins, checks.compileGuard, checks.lockOut)
	gateadmission.RegisterEndedGrant(g.Plugins, checks.endedGrant)
	gateadmission.RegisterTokenLife(g.Plugins, checks.accessEnds, tokenSeconds)
	gateadmission.RegisterPolicy(g.Plugins, checks.policies.set, checks.policies.cluster)
	g.Decorators = slices.Insert(g.Decorators, 0, admission.Decorator(&checks.policies))
	// Upstream's order must name every plugin. Ours come after the built-in mutators
	// and before MutatingAdmissionPolicies, webhooks and the quota.
	at := slices.Index(g.RecommendedPluginOrder, "MutatingAdmissionPolicy")
	g.RecommendedPluginOrder = slices.Insert(slices.Clone(g.RecommendedPluginOrder), at,
		gateadmission.TokenLifeName, gateadmission.GuardCheckName, gateadmission.EndedGrantName, gateadmission.SecretSizeName, gateadmission.PolicyName)

	registered := g.Plugins.Registered()
	for _, name := range slices.Concat(cfg.Admission.Enable, cfg.Admission.Disable) {
		if !slices.Contains(registered, name) {
			return &StartError{
				Problem: fmt.Sprintf("admission plugin %q is not known", name),
				Mend:    fmt.Sprintf("known: %v", registered),
			}
		}
	}
	for _, name := range alwaysEnabled {
		if !slices.Contains(cfg.Admission.Disable, name) {
			g.EnablePlugins = append(g.EnablePlugins, name)
		}
	}
	for _, name := range cfg.Admission.Enable {
		if !slices.Contains(g.EnablePlugins, name) {
			g.EnablePlugins = append(g.EnablePlugins, name)
		}
	}
	g.DisablePlugins = cfg.Admission.Disable

	data, err := admissionConfiguration(cfg.Admission)
	if err != nil {
		return err
	}
	g.ConfigFile = d.generated("admission.yaml")
	return writeGenerated(g.ConfigFile, data)
}

// admissionConfiguration is the operator's AdmissionConfiguration with the Pod
// Security defaults added where it does not speak of PodSecurity itself.
func admissionConfiguration(a v1alpha1.AdmissionOptions) ([]byte, error) {
	config := map[string]any{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration"}
	if a.ConfigFile != "" {
		data, err := os.ReadFile(a.ConfigFile)
		if err == nil {
			err = yaml.UnmarshalStrict(data, &config)
		}
		if err != nil {
			return nil, &StartError{
				Problem: fmt.Sprintf("admission configuration %s is not usable: %v", a.ConfigFile, underlying(err)),
				Mend:    "it is an AdmissionConfiguration of apiserver.config.k8s.io/v1",
			}
		}
		if err := absolutePaths(config, a.ConfigFile); err != nil {
			return nil, err
		}
	}
	plugins, _ := config["plugins"].([]any)
	if !slices.ContainsFunc(plugins, func(p any) bool {
		entry, _ := p.(map[string]any)
		return entry["name"] == "PodSecurity"
	}) {
		ps := a.PodSecurity
		plugins = append(plugins, map[string]any{
			"name": "PodSecurity",
			"configuration": map[string]any{
				"apiVersion": "pod-security.admission.config.k8s.io/v1",
				"kind":       "PodSecurityConfiguration",
				"defaults": map[string]any{
					"enforce": ps.Enforce, "enforce-version": "latest",
					"audit": ps.Audit, "audit-version": "latest",
					"warn": ps.Warn, "warn-version": "latest",
				},
				"exemptions": map[string]any{"namespaces": *ps.ExemptNamespaces},
			},
		})
	}
	config["plugins"] = plugins
	return yaml.Marshal(config)
}

// absolutePaths rewrites the relative `path` of each plugin entry, which
// upstream reads from the folder of the file it is in, since the effective file
// lies elsewhere.
func absolutePaths(config map[string]any, file string) error {
	plugins, ok := config["plugins"].([]any)
	if config["plugins"] != nil && !ok {
		return &StartError{Problem: fmt.Sprintf("admission configuration %s: plugins is not a list", file), Mend: "each entry has a name, and a path or a configuration"}
	}
	for _, p := range plugins {
		entry, ok := p.(map[string]any)
		if !ok {
			return &StartError{Problem: fmt.Sprintf("admission configuration %s: an entry of plugins is not an object", file), Mend: "each entry has a name, and a path or a configuration"}
		}
		if path, ok := entry["path"].(string); ok && path != "" {
			entry["path"] = besideFile(file, path)
		}
	}
	return nil
}

// internalSecret gives the v1 form of the internal type the chain passes.
func internalSecret(obj runtime.Object) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	return secret, legacyscheme.Scheme.Convert(obj, secret, nil)
}

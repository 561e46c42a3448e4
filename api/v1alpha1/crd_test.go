package v1alpha1

import (
	"context"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// crd returns the manifest of a kind as the API server holds it.
func crd(t *testing.T, kind string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	for _, data := range CRDs() {
		c := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(data, c); err != nil {
			t.Fatal(err)
		}
		if c.Spec.Names.Kind == kind {
			return c
		}
	}
	t.Fatalf("no manifest of %s", kind)
	return nil
}

func TestCRDNames(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for kind, plural := range map[string]string{
		"Revocation": "revocations", "Guard": "guards", "Exception": "exceptions", "BuiltinPolicies": "builtinpolicies", "DetectionRule": "detectionrules", "Mute": "mutes",
		"RequestReview": "requestreviews", "SubjectsReview": "subjectsreviews", "AccessList": "accesslists",
	} {
		c := crd(t, kind)
		switch {
		case c.Name != plural+".gatehouse.io", c.Spec.Group != GroupName, c.Spec.Scope != apiextensionsv1.ClusterScoped,
			len(c.Spec.Versions) != 1, c.Spec.Versions[0].Name != SchemeGroupVersion.Version,
			!c.Spec.Versions[0].Served, !c.Spec.Versions[0].Storage:
			t.Errorf("%s: got %+v", kind, c.Spec)
		}
		if !scheme.Recognizes(SchemeGroupVersion.WithKind(kind)) {
			t.Errorf("the scheme does not know %s", kind)
		}
	}
	for _, kind := range []string{"Revocation", "Guard", "Exception", "BuiltinPolicies", "DetectionRule", "Mute"} {
		if !scheme.Recognizes(SchemeGroupVersion.WithKind(crd(t, kind).Spec.Names.ListKind)) {
			t.Errorf("the scheme does not know lists of %s", kind)
		}
	}
}

// The server writes its manifests straight into the store, so nobody but this
// test holds them against what an API server would accept, the cost of their
// CEL rules included.
func TestCRDsAreValid(t *testing.T) {
	for _, data := range CRDs() {
		c := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(data, c); err != nil {
			t.Fatal(err)
		}
		apiextensionsv1.SetObjectDefaults_CustomResourceDefinition(c)
		internal := &apiextensions.CustomResourceDefinition{}
		if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(c, internal, nil); err != nil {
			t.Fatal(err)
		}
		internal.Status.StoredVersions = []string{SchemeGroupVersion.Version}
		if errs := crdvalidation.ValidateCustomResourceDefinition(t.Context(), internal); len(errs) > 0 {
			t.Errorf("%s: %v", c.Name, errs.ToAggregate())
		}
	}
}

func TestRevocationSchema(t *testing.T) {
	validate := validatorOf(t, crd(t, "Revocation"))
	fingerprint := strings.Repeat("AB:", 31) + "AB"
	for _, c := range []struct {
		name, spec string
		// want is part of the error; "" accepts.
		want string
	}{
		{"serial number", `certificate: {serialNumber: "0A:1b:2C"}`, ""},
		{"serial number without colons", `certificate: {serialNumber: "0A1B2C"}`, ""},
		{"fingerprint", `certificate: {sha256Fingerprint: "` + fingerprint + `"}`, ""},
		{"fingerprint without colons", `certificate: {sha256Fingerprint: "` + strings.Repeat("ab", 32) + `"}`, ""},
		{"user", `user: {name: anna, issuedBefore: "2026-01-02T03:04:05Z"}`, ""},
		{"service account", `serviceAccount: {namespace: shop, name: web}`, ""},
		{"token", `{tokenID: abc, reason: leaked, expiresAt: "2026-01-02T03:04:05Z"}`, ""},

		{"nothing", `{}`, "set exactly one of certificate, user"},
		{"a reason alone", `reason: leaked`, "set exactly one of certificate, user"},
		{"two", `{tokenID: abc, serviceAccount: {namespace: shop, name: web}}`, "set exactly one of certificate, user"},
		{"empty certificate", `certificate: {}`, "set exactly one of serialNumber"},
		{"both of a certificate", `certificate: {serialNumber: "0A", sha256Fingerprint: "` + fingerprint + `"}`, "set exactly one of serialNumber"},
		{"serial number not hexadecimal", `certificate: {serialNumber: "0x0A"}`, "spec.certificate.serialNumber"},
		{"serial number too long", `certificate: {serialNumber: "` + strings.Repeat("00:", 50) + `00"}`, "spec.certificate.serialNumber"},
		{"fingerprint too short", `certificate: {sha256Fingerprint: "` + fingerprint[3:] + `"}`, "spec.certificate.sha256Fingerprint"},
		{"user without instant", `user: {name: anna}`, "spec.user.issuedBefore"},
		{"user without name", `user: {name: "", issuedBefore: "2026-01-02T03:04:05Z"}`, "spec.user.name"},
		{"instant that is none", `user: {name: anna, issuedBefore: yesterday}`, "spec.user.issuedBefore"},
		{"service account without namespace", `serviceAccount: {name: web}`, "spec.serviceAccount.namespace"},
		{"empty token", `tokenID: ""`, "spec.tokenID"},
		{"long reason", `{tokenID: abc, reason: "` + strings.Repeat("x", 1025) + `"}`, "spec.reason"},
	} {
		t.Run(c.name, func(t *testing.T) { checkSpec(t, validate, "Revocation", c.spec, c.want) })
	}
	if errs := validate(map[string]any{"apiVersion": SchemeGroupVersion.String(), "kind": "Revocation"}); len(errs) == 0 {
		t.Error("a Revocation without spec is accepted")
	}
}

// checkSpec holds an object of this spec against its schema; want is part of the
// error, "" accepts.
func checkSpec(t *testing.T, validate func(object map[string]any) field.ErrorList, kind, text, want string) {
	t.Helper()
	var spec any
	if err := yaml.Unmarshal([]byte(text), &spec); err != nil {
		t.Fatal(err)
	}
	errs := validate(map[string]any{"apiVersion": SchemeGroupVersion.String(), "kind": kind,
		"metadata": map[string]any{"name": "x"}, "spec": spec})
	switch err := errs.ToAggregate(); {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want %q", err, want)
	}
}

// validatorOf checks an object as the API server does: by the schema, then by
// the CEL rules.
func validatorOf(t *testing.T, c *apiextensionsv1.CustomResourceDefinition) func(object map[string]any) field.ErrorList {
	t.Helper()
	internal := &apiextensions.CustomResourceValidation{}
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(
		c.Spec.Versions[0].Schema, internal, nil); err != nil {
		t.Fatal(err)
	}
	schema, _, err := validation.NewSchemaValidator(internal.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	structural, err := structuralschema.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	rules := cel.NewValidator(structural, true, celconfig.PerCallLimit)
	return func(object map[string]any) field.ErrorList {
		errs := validation.ValidateCustomResource(nil, object, schema)
		celErrs, _ := rules.Validate(context.Background(), nil, structural, object, nil, celconfig.RuntimeCELCostBudget)
		return append(errs, celErrs...)
	}
}

package admission

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/warning"
)

// warnings is a context that keeps what is said to the client.
type warnings struct{ list []string }

func (w *warnings) AddWarning(_, text string) { w.list = append(w.list, text) }

func attributes(resource, subresource string, obj runtime.Object) admission.Attributes {
	return admission.NewAttributesRecord(obj, nil, corev1.SchemeGroupVersion.WithKind("Secret"), "shop", "s",
		corev1.SchemeGroupVersion.WithResource(resource), subresource, admission.Create, &metav1.CreateOptions{}, false, nil)
}

func secretOf(data, stringData int) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}}
	s.Data = map[string][]byte{"a": make([]byte, data/2), "b": make([]byte, data-data/2)}
	s.StringData = map[string]string{"c": strings.Repeat("x", stringData)}
	return s
}

func TestSecretSize(t *testing.T) {
	plain := func(s *corev1.Secret) runtime.Object { return s }
	loose := func(s *corev1.Secret) runtime.Object {
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s)
		if err != nil {
			t.Fatal(err)
		}
		return &unstructured.Unstructured{Object: object}
	}
	for _, c := range []struct {
		name        string
		limit       int64
		resource    string
		subresource string
		object      runtime.Object
		warns       bool
	}{
		{"at the limit", 100, "secrets", "", plain(secretOf(100, 0)), false},
		{"above it", 100, "secrets", "", plain(secretOf(101, 0)), true},
		{"above it in both fields together", 100, "secrets", "", plain(secretOf(60, 41)), true},
		{"unstructured", 100, "secrets", "", loose(secretOf(101, 0)), true},
		{"empty", 100, "secrets", "", plain(&corev1.Secret{}), false},
		{"0 never warns", 0, "secrets", "", plain(secretOf(1<<20, 0)), false},
		{"another resource", 100, "configmaps", "", &corev1.ConfigMap{}, false},
		{"a subresource", 100, "secrets", "status", plain(secretOf(101, 0)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &warnings{}
			err := NewSecretSize(c.limit, nil).Validate(warning.WithWarningRecorder(context.Background(), w), attributes(c.resource, c.subresource, c.object), nil)
			if err != nil {
				t.Error(err)
			}
			if len(w.list) > 1 || (len(w.list) == 1) != c.warns {
				t.Errorf("warnings are %q", w.list)
			}
			if c.warns && len(w.list) == 1 && !strings.HasPrefix(w.list[0], "Secret s holds 101") {
				t.Errorf("warning is %q", w.list[0])
			}
		})
	}
}

// TestSecretSizeFailsClosed shows that what cannot be measured is not let in.
func TestSecretSizeFailsClosed(t *testing.T) {
	err := NewSecretSize(100, nil).Validate(context.Background(), attributes("secrets", "", &corev1.Pod{}), nil)
	if err == nil || !strings.Contains(err.Error(), "measure secret: unexpected type *v1.Pod") {
		t.Errorf("error is %v", err)
	}
	broken := NewSecretSize(100, func(runtime.Object) (*corev1.Secret, error) { return nil, errors.New("no") })
	if err := broken.Validate(context.Background(), attributes("secrets", "", secretOf(0, 0)), nil); err == nil {
		t.Error("no error")
	}
}

func TestRegisterSecretSize(t *testing.T) {
	plugins := admission.NewPlugins()
	RegisterSecretSize(plugins, 7, nil)
	if !slices.Contains(plugins.Registered(), SecretSizeName) {
		t.Fatalf("registered are %v", plugins.Registered())
	}
	plugin, err := plugins.InitPlugin(SecretSizeName, nil, admission.PluginInitializers{})
	if err != nil {
		t.Fatal(err)
	}
	for operation, want := range map[admission.Operation]bool{admission.Create: true, admission.Update: true, admission.Delete: false, admission.Connect: false} {
		if got := plugin.Handles(operation); got != want {
			t.Errorf("handles %s: %v", operation, got)
		}
	}
}

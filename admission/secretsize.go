package admission

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/warning"
)

// SecretSizeName is the name the plugin is registered under.
const SecretSizeName = "SecretSizeWarning"

// SecretSize warns a client that writes a Secret larger than Limit bytes: a
// Secret is held in memory by every watcher and rewritten whole at each change,
// and is meant for small sensitive data. It never refuses.
type SecretSize struct {
	*admission.Handler
	// Limit is the number of bytes of data, values only, above which it warns.
	Limit int64
	// Convert gives the v1 form of the Secret the chain passes, which inside an
	// API server is an internal type.
	Convert func(runtime.Object) (*corev1.Secret, error)
}

var _ admission.ValidationInterface = &SecretSize{}

// RegisterSecretSize makes the plugin known to a chain under SecretSizeName.
func RegisterSecretSize(plugins *admission.Plugins, limit int64, convert func(runtime.Object) (*corev1.Secret, error)) {
	plugins.Register(SecretSizeName, func(io.Reader) (admission.Interface, error) {
		return NewSecretSize(limit, convert), nil
	})
}

// NewSecretSize returns the plugin. A nil convert reads v1 and unstructured Secrets.
func NewSecretSize(limit int64, convert func(runtime.Object) (*corev1.Secret, error)) *SecretSize {
	if convert == nil {
		convert = plainSecret
	}
	return &SecretSize{Handler: admission.NewHandler(admission.Create, admission.Update), Limit: limit, Convert: convert}
}

// Validate implements admission.ValidationInterface.
func (p *SecretSize) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if p.Limit <= 0 || a.GetResource().GroupResource() != corev1.Resource("secrets") || a.GetSubresource() != "" {
		return nil
	}
	secret, err := p.Convert(a.GetObject())
	if err != nil {
		return admission.NewForbidden(a, fmt.Errorf("measure secret: %w", err))
	}
	var size int64
	for _, value := range secret.Data {
		size += int64(len(value))
	}
	for _, value := range secret.StringData {
		size += int64(len(value))
	}
	if size > p.Limit {
		warning.AddWarning(ctx, "", fmt.Sprintf(
			"Secret %s holds %d bytes, more than %s: a Secret is for small sensitive data; keep the bulk elsewhere and only its key here",
			secret.Name, size, bytesText(p.Limit)))
	}
	return nil
}

func bytesText(n int64) string { return resource.NewQuantity(n, resource.BinarySI).String() }

func plainSecret(obj runtime.Object) (*corev1.Secret, error) {
	switch o := obj.(type) {
	case *corev1.Secret:
		return o, nil
	case *unstructured.Unstructured:
		secret := &corev1.Secret{}
		return secret, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, secret)
	}
	return nil, fmt.Errorf("unexpected type %T", obj)
}

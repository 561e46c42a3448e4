package provider

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Provider is a Provider object, read.
type Provider struct {
	Name    string
	URL     string
	Timeout time.Duration
	roots   *x509.CertPool
	bundle  string
}

// defaultTimeout is that of a Provider that states none.
const defaultTimeout = 5 * time.Second

// Read reads a Provider of v1beta1 or v1alpha1.
func Read(o *unstructured.Unstructured) (*Provider, error) {
	if version := o.GroupVersionKind().Version; !slices.Contains([]string{"v1beta1", "v1alpha1"}, version) {
		return nil, fmt.Errorf("the version %q is none of v1beta1 and v1alpha1", version)
	}
	var spec struct {
		URL                   string `json:"url"`
		Timeout               int64  `json:"timeout"`
		CABundle              string `json:"caBundle"`
		InsecureTLSSkipVerify bool   `json:"insecureTLSSkipVerify"`
	}
	data, err := json.Marshal(o.Object["spec"])
	if err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&spec); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	p := &Provider{Name: o.GetName(), URL: spec.URL, Timeout: time.Duration(spec.Timeout) * time.Second, bundle: spec.CABundle}
	at, err := url.Parse(spec.URL)
	switch {
	case err != nil:
		return nil, errors.New("spec.url: it is no address")
	case at.Scheme != "https" || at.Host == "":
		return nil, errors.New("spec.url: it must begin with https:// and name a host")
	case spec.InsecureTLSSkipVerify:
		return nil, errors.New("spec.insecureTLSSkipVerify: it is not supported; name the authority in caBundle")
	case spec.Timeout < 0 || spec.Timeout > 3600:
		return nil, errors.New("spec.timeout: it must be 0 to 3600 seconds")
	case spec.CABundle == "":
		return nil, errors.New("spec.caBundle: name the authority of the provider's certificate")
	}
	if spec.Timeout == 0 {
		p.Timeout = defaultTimeout
	}
	pem, err := base64.StdEncoding.DecodeString(spec.CABundle)
	if err != nil {
		return nil, errors.New("spec.caBundle: it is not in base64")
	}
	if p.roots = x509.NewCertPool(); !p.roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("spec.caBundle: it has no certificate in PEM")
	}
	return p, nil
}

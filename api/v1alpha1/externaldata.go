package v1alpha1

import (
	"errors"
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ParseExternalDataProvider reads an entry of ExternalDataOptions.Providers, NAME=URL.
func ParseExternalDataProvider(text string) (name, address string, err error) {
	name, address, ok := strings.Cut(text, "=")
	if at, err := url.Parse(address); !ok || name == "" || err != nil || at.Scheme != "https" || at.Host == "" {
		return "", "", errors.New("want NAME=URL, such as images=https://images.shop.svc/v1")
	}
	return name, address, nil
}

func (o *ExternalDataOptions) setDefaults() {
	setDefaultPointer(&o.CacheTTL, metav1.Duration{Duration: 3 * time.Minute})
}

func (v *validator) externalData(o *ExternalDataOptions, p *field.Path) {
	seen := map[string]bool{}
	for i, text := range o.Providers {
		at := p.Child("providers").Index(i)
		name, _, err := ParseExternalDataProvider(text)
		switch {
		case err != nil:
			v.add(field.Invalid(at, text, err.Error()))
		case seen[name]:
			v.add(field.Duplicate(at, name))
		}
		seen[name] = true
	}
	v.together(p.Child("certFile"), o.CertFile, p.Child("keyFile"), o.KeyFile)
}

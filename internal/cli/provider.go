package cli

import (
	"strings"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/provider"
)

// providerFlag is --allow-provider: NAME=URL, as often as there are providers.
type providerFlag []provider.Allowed

// String implements pflag.Value.
func (f *providerFlag) String() string {
	var all []string
	for _, a := range *f {
		all = append(all, a.Name+"="+a.URL)
	}
	return strings.Join(all, ",")
}

// Set implements pflag.Value.
func (f *providerFlag) Set(text string) error {
	name, address, err := v1alpha1.ParseExternalDataProvider(text)
	if err != nil {
		return err
	}
	*f = append(*f, provider.Allowed{Name: name, URL: address})
	return nil
}

// Type implements pflag.Value.
func (f *providerFlag) Type() string { return "name=url" }

func (f *providerFlag) options() provider.Options {
	return provider.Options{Allowed: *f, How: "allow it with --allow-provider NAME=URL, with the address that the Provider has"}
}

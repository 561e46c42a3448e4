// Package provider asks Gatekeeper's external data providers: programs elsewhere that a
// mutator, or a policy in Rego, looks keys up at.
//
//	c, err := provider.New(provider.Options{Allowed: []provider.Allowed{{Name: "images", URL: "https://images.shop.svc/v1"}}})
//	c.Serve(providers)          // the Provider objects of the cluster
//	s := c.Session()            // one request's budget
//	answer, err := s.Ask(ctx, "images", []string{"nginx:1.29"})
//
// # Invariants
//
//   - Nobody is asked whom the operator has not allowed, by name and by address: who may
//     write Provider objects does not decide whereto the program sends what it knows.
//   - HTTPS with TLS 1.3 and the certificates of the Provider alone; no redirect is
//     followed, and no proxy is used.
//   - One request has a budget of calls, bytes and time, inside its own deadline. What
//     comes back is hostile until it has been read within these bounds.
//   - Keys and what stands in an address beyond its host are in no error.
//   - The cache is bounded by time, entries and bytes, and holds no failures.
//
// It follows the ProviderRequest and ProviderResponse of externaldata.gatekeeper.sh
// (v1beta1). What becomes of a failure is the caller's to say.
package provider

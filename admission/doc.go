// Package admission holds the admission plugins that are Gatehouse's own. They
// speak upstream's admission interfaces, so one plugin stands in the API
// server's chain, behind a webhook and over files alike.
//
//	plugins := admission.NewPlugins()
//	gateadmission.RegisterSecretSize(plugins, 64<<10)
//
// A plugin here never talks to a cluster by itself: what it needs to know is
// given to it.
package admission

// Package v1alpha1 holds the kinds Gatehouse adds to Kubernetes: the API group
// gatehouse.io, version v1alpha1.
//
// Three sorts live here. Settings files are read by a command and never stored:
// ServeConfiguration is the whole of what `gatehouse serve` can be told. Stored
// kinds are custom resources that change what a gate decides while it runs:
// Revocation names credentials that no longer count, Guard refuses requests
// whatever roles grant. Virtual kinds are questions, created like a
// SubjectAccessReview, answered at once and never stored: RequestReview puts one
// request before every gate, SubjectsReview asks who can, AccessList what one
// can. They have manifests too, so that discovery and schema know them.
//
//	cfg, err := v1alpha1.LoadServeConfiguration("gatehouse.yaml")
//	if err != nil { ... } // file:line:col, what is wrong, the nearest known field
//	err = v1alpha1.SetDefaults(cfg, os.Getenv)
//
// Loading is strict: an unknown or repeated field, a wrong type or a value out
// of range is an error that names its place. Defaults are filled in by
// SetDefaults and are part of the documented contract of each field.
//
// The package imports nothing of Gatehouse, and reads no clock and no
// environment. The CRD manifests in crd/, the deep copies and the table of field
// documentation are generated from these types by go generate; CI fails when
// they differ.
//
// +kubebuilder:object:generate=true
// +groupName=gatehouse.io
package v1alpha1

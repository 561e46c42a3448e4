package v1alpha1

// controller-gen is pinned in tools/go.mod. CI runs `go generate ./api/...` and
// fails where `git diff --exit-code api docs/reference` finds a change.
//
//go:generate go run ./internal/gen -go zz_generated.fielddocs.go -markdown ../../docs/reference/serve-configuration.md
//go:generate go run ./internal/gen -kind AttachConfiguration -table attachFieldDocs -go zz_generated.attachfielddocs.go -markdown ../../docs/reference/attach-configuration.md
//go:generate go tool -modfile=../../tools/go.mod controller-gen object crd paths=. output:crd:dir=crd

//go:build !race

package rbac

const differentialRequests = 1_000_000

//go:build !race

package abac

const differentialRequests = 300_000

//go:build !race

package cel_test

const worlds = 250

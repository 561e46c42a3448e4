package attach

import (
	"errors"
	"sync/atomic"
)

// Check is something that must hold before reviews are answered.
type Check struct {
	// Name is what /readyz lists it by.
	Name string
	// Ready says what is missing, or nil.
	Ready func() error
}

// synced is a Check that holds from the moment that all of something has been
// read once: what has been read stays, and only grows newer.
func synced(name, what string, hasSynced func() bool) Check {
	var held atomic.Bool
	return Check{Name: name, Ready: func() error {
		if held.Load() {
			return nil
		}
		if !hasSynced() {
			return errors.New(what + " have not been read yet")
		}
		held.Store(true)
		return nil
	}}
}

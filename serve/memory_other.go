//go:build !linux

package serve

import "time"

// processorTime is not asked for here: the server never counts as idle.
func processorTime() time.Duration { return time.Duration(time.Now().UnixNano()) }

// dropProgramPages is for Linux alone.
func dropProgramPages() error { return nil }

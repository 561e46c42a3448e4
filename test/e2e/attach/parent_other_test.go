//go:build !linux

package attach

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }

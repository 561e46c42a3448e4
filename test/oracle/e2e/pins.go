//go:build pins

package e2e

import (
	_ "k8s.io/kubernetes/test/e2e"
)

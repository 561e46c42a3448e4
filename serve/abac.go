package serve

import (
	"context"
	"errors"

	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/authz/abac"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/telemetry/meter"
)

// newABAC is the authorizer of a policy file that is read again when it changes. A
// file that does not parse leaves the last good policies in force.
func newABAC(ctx context.Context, path string, reloads *meter.Reloads) (*abac.File, error) {
	file := abac.NewFile(path)
	return file, loadAndWatch(ctx, reloads, "ABAC policy file", path,
		"each line is one JSON object of kind Policy, apiVersion abac.authorization.kubernetes.io/v1beta1",
		func(data []byte) error {
			if err := file.Load(data); err != nil {
				if wrong, ok := errors.AsType[*abac.Error](err); ok {
					return &StartError{Problem: wrong.Error(), Mend: wrong.Hint()}
				}
				return err
			}
			for _, finding := range file.Findings() {
				klog.Warningf("ABAC policy file %s: %s", finding.At.Place(), gate.Plain(finding.Reason))
			}
			return nil
		})
}

package serve

import (
	"fmt"
	"os"
	"path/filepath"

	apiserveroptions "k8s.io/apiserver/pkg/server/options"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
)

// writeGenerated writes a settings file that upstream reads at start. It is
// made anew each time and is nobody's to edit.
func writeGenerated(path string, data []byte) error {
	if err := os.WriteFile(path, append([]byte("# Made at each start of gatehouse serve.\n"), data...), 0o600); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	return nil
}

// besideFile is path as seen from the folder of file.
func besideFile(file, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// auditOptions sets where audit events go. Which events there are is decided by
// audit.Policy, put in by buildChain. The mode is upstream's default, blocking:
// a response is not sent before its event is written.
func auditOptions(o *apiserveroptions.AuditOptions, cfg *v1alpha1.ServeConfiguration, d *dataDir) error {
	o.LogOptions.Path = cfg.Audit.LogFile
	o.LogOptions.MaxSize = int(cfg.Audit.MaxSizeMegabytes)
	o.LogOptions.MaxAge = int(cfg.Audit.MaxAgeDays)
	o.LogOptions.MaxBackups = int(cfg.Audit.MaxBackups)
	// Upstream opens the log only where it has been given a policy file.
	o.PolicyFile = cfg.Audit.PolicyFile
	if o.PolicyFile == "" {
		o.PolicyFile = d.generated("audit-policy.yaml")
		return writeGenerated(o.PolicyFile, audit.DefaultPolicy)
	}
	return nil
}

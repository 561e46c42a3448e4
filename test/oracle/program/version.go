package program

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// version is what go.mod pins a module at.
type version struct {
	// Version is the module version, such as v1.37.2.
	Version string
	// Time is when that version was made; it stands in for the build date, so
	// that two builds of the same pin are the same bytes.
	Time time.Time
}

// pinned asks the go command which version of module go.mod selects.
func pinned(ctx context.Context, module string) (version, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-json", module).Output()
	if err != nil {
		return version{}, fmt.Errorf("find the pinned version of %s: %w", module, err)
	}
	var v version
	if err := json.Unmarshal(out, &v); err != nil {
		return version{}, fmt.Errorf("read the pinned version of %s: %w", module, err)
	}
	return v, nil
}

// ldflags strips the binary, as upstream's releases are, and stamps v where
// Kubernetes programs look for their version. Other programs ignore the stamp.
func ldflags(v version) string {
	major, minor := "", ""
	if parts := strings.SplitN(strings.TrimPrefix(v.Version, "v"), ".", 3); len(parts) == 3 {
		major, minor = parts[0], parts[1]
	}
	flags := []string{"-s", "-w"}
	for _, set := range []string{
		"gitVersion=" + v.Version,
		"gitMajor=" + major,
		"gitMinor=" + minor,
		"gitTreeState=clean",
		"gitCommit=",
		"buildDate=" + v.Time.UTC().Format(time.RFC3339),
	} {
		flags = append(flags, "-X", "k8s.io/component-base/version."+set)
	}
	return strings.Join(flags, " ")
}

package serve

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehouse-io/gatehouse/telemetry/meter"
)

func TestABACFileIsRefusedWithLineAndHint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "abac.jsonl")
	if err := os.WriteFile(path, []byte("# shop\n{\"user\":1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := newABAC(t.Context(), path, new(meter.Reloads))
	refused, ok := errors.AsType[*StartError](err)
	if !ok || refused.Problem != path+":2: user must be a string, and is number" || refused.Hint() != "correct the type of user" {
		t.Errorf("%#v", err)
	}
}

package auditid

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

func TestFrom(t *testing.T) {
	upstream := audit.WithAuditContext(t.Context())
	audit.WithAuditID(upstream, types.UID("drawn-by-the-api-server"))
	for _, c := range []struct {
		ctx  context.Context
		want string
	}{
		{t.Context(), ""},
		{upstream, "drawn-by-the-api-server"},
		{With(t.Context(), "0b1c-2"), "0b1c-2"},
		{With(upstream, "nearer"), "nearer"},
		{With(t.Context(), "a\nb c\x1b[2J\u202e"), "abc[2J"},
		{With(t.Context(), strings.Repeat("x", 1000)), strings.Repeat("x", 64)},
	} {
		if got := From(c.ctx); got != c.want {
			t.Errorf("ID is %q, want %q", got, c.want)
		}
	}
}

func TestLog(t *testing.T) {
	var b bytes.Buffer
	ctx := klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&b))))
	Log(ctx).Info("of nobody")
	Log(With(ctx, "0b1c-2")).Info("of somebody", "n", 1)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 2 || strings.Contains(lines[0], Key) || !strings.Contains(lines[1], `"of somebody" audit-ID="0b1c-2" n=1`) {
		t.Errorf("logged\n%s", b.String())
	}
}

func TestNoIDCostsNothing(t *testing.T) {
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { From(ctx) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

package auditid

import (
	"context"
	"strings"

	"k8s.io/apiserver/pkg/audit"
	"k8s.io/klog/v2"
)

// Key is the key of a log line: the one that kube-apiserver's lines have.
const Key = "audit-ID"

// longest is how much of an ID is believed: clients choose it where they like.
const longest = 64

type key struct{}

// With returns a context whose request has this ID, for servers that are no API
// server. What would not do in a line of a log is left out of it.
func With(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, key{}, Clean(id))
}

// Clean is id as it may be written down: at most 64 printable characters of ASCII
// that are no space.
func Clean(id string) string {
	id = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, id)
	return id[:min(len(id), longest)]
}

// From is the ID of the request that ctx is of, or empty.
func From(ctx context.Context) string {
	if id, ok := ctx.Value(key{}).(string); ok {
		return id
	}
	return Clean(audit.GetAuditIDTruncated(ctx))
}

// Log is a logger whose lines carry the ID of the request that ctx is of.
func Log(ctx context.Context) klog.Logger {
	logger := klog.FromContext(ctx)
	if id := From(ctx); id != "" {
		logger = logger.WithValues(Key, id)
	}
	return logger
}

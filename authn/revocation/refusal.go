package revocation

import (
	"context"
	"errors"

	"k8s.io/apiserver/pkg/audit"
)

const (
	// AnnotationRevoked, in the audit event of a refused request, says what
	// revoked the credential and why: "Revocation/NAME: REASON" or
	// "CRL/PATH: …".
	AnnotationRevoked = "authentication.gatehouse.io/revoked"

	// AnnotationRefused, in the audit event of a request that was refused though
	// its credential is not revoked, says why.
	AnnotationRefused = "authentication.gatehouse.io/refused"

	// AnnotationUser, beside either, is the user the credential stands for: an
	// event of a failed authentication has no user of its own.
	AnnotationUser = "authentication.gatehouse.io/user"
)

// ErrNotSynced refuses every credential until the Revocations have been read.
var ErrNotSynced = errors.New("credential refused: the list of revocations has not been read yet")

// RevokedError refuses a credential.
type RevokedError struct {
	// Source is what says so: "Revocation/NAME" or "CRL/PATH".
	Source string

	// Reason is why: the Revocation's reason and, for a user's, what was found of
	// the time of issue; for a CRL the certificate and the list's reason code.
	Reason string
}

// Error is "credential revoked by SOURCE: REASON".
func (e *RevokedError) Error() string { return "credential revoked by " + e.because() }

// because is "SOURCE: REASON". It is no String method: loggers would prefer it
// to Error.
func (e *RevokedError) because() string { return e.Source + ": " + e.Reason }

// refused puts the reason of a refusal into the request's audit event.
func refused(ctx context.Context, userName string, err error) {
	var revoked *RevokedError
	if errors.As(err, &revoked) {
		audit.AddAuditAnnotations(ctx, AnnotationRevoked, revoked.because(), AnnotationUser, userName)
		return
	}
	audit.AddAuditAnnotations(ctx, AnnotationRefused, err.Error(), AnnotationUser, userName)
}

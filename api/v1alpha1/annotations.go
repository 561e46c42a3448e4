package v1alpha1

// Annotations on RoleBindings and ClusterRoleBindings.
const (
	// AnnotationExpiresAt is the instant (RFC 3339) until which a binding counts,
	// and from which on it does not. Default: it counts until it is deleted. A value
	// that is no such instant makes the binding count for nothing.
	AnnotationExpiresAt = "gatehouse.io/expires-at"
	// AnnotationReason says in a sentence what a binding is for.
	AnnotationReason = "gatehouse.io/reason"
	// AnnotationGrantedBy names who made a binding.
	AnnotationGrantedBy = "gatehouse.io/granted-by"
)

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Revocation names credentials that no longer count. A request that presents a
// revoked credential is refused with 401 within a second of the object's
// creation, on connections that are already open too, and its audit event says
// which Revocation refused it.
//
// Every field that is set must match (they are joined by "and"); at least one
// of certificate, user, serviceAccount and tokenID must be set, and they are
// mutually exclusive. Deleting the object makes the credentials count again.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=revoke
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.spec.expiresAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Revocation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec RevocationSpec `json:"spec"`
}

// RevocationList is a list of Revocations.
//
// +kubebuilder:object:root=true
type RevocationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Revocation `json:"items"`
}

// RevocationSpec says which credentials no longer count. Exactly one of
// certificate, user, serviceAccount and tokenID is set.
//
// +kubebuilder:validation:XValidation:rule="[has(self.certificate),has(self.user),has(self.serviceAccount),has(self.tokenID)].filter(x, x).size() == 1",message="set exactly one of certificate, user, serviceAccount and tokenID"
type RevocationSpec struct {
	// Certificate names one X.509 client certificate.
	// +optional
	Certificate *RevokedCertificate `json:"certificate,omitempty"`

	// User names everything issued to one user before an instant.
	// +optional
	User *RevokedUser `json:"user,omitempty"`

	// ServiceAccount names the tokens of one service account.
	// +optional
	ServiceAccount *RevokedServiceAccount `json:"serviceAccount,omitempty"`

	// TokenID is the jti claim of one JSON Web Token, of any issuer (RFC 7519, section 4.1.7).
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	TokenID string `json:"tokenID,omitempty"`

	// Reason is shown in the audit event of each refused request.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`

	// ExpiresAt ends the Revocation: from this instant on it refuses nothing.
	// Default: never.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
}

// RevokedCertificate names an X.509 client certificate. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.serialNumber) != has(self.sha256Fingerprint)",message="set exactly one of serialNumber and sha256Fingerprint"
type RevokedCertificate struct {
	// SerialNumber is the certificate's serial number in hexadecimal, as
	// `openssl x509 -serial` prints it; colons and letter case do not matter.
	// It names a certificate of any CA this server trusts for clients.
	// +optional
	// +kubebuilder:validation:Pattern=`^([0-9A-Fa-f]{1,2}:)*[0-9A-Fa-f]{1,64}$`
	// +kubebuilder:validation:MaxLength=128
	SerialNumber string `json:"serialNumber,omitempty"`

	// SHA256Fingerprint is the SHA-256 of the certificate's DER bytes in
	// hexadecimal, as `openssl x509 -fingerprint -sha256` prints it; colons and
	// letter case do not matter.
	// +optional
	// +kubebuilder:validation:Pattern=`^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$`
	SHA256Fingerprint string `json:"sha256Fingerprint,omitempty"`
}

// RevokedUser names everything issued to a user before an instant.
type RevokedUser struct {
	// Name is the user name as the server knows it, prefix included.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`

	// IssuedBefore: certificates whose notBefore, and JSON Web Tokens whose iat,
	// lie before this instant are refused. A credential of this user that carries
	// no time of issue (a static or bootstrap token, a webhook's token, a
	// front-proxy header) is refused too, since it cannot be shown to be newer.
	IssuedBefore metav1.Time `json:"issuedBefore"`
}

// RevokedServiceAccount names the tokens of a service account.
type RevokedServiceAccount struct {
	// Namespace of the service account.
	// +kubebuilder:validation:MinLength=1
	Namespace string `json:"namespace"`

	// Name of the service account.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`

	// IssuedBefore refuses only tokens whose iat lies before this instant.
	// Default: every token of the account, whenever issued.
	// +optional
	IssuedBefore *metav1.Time `json:"issuedBefore,omitempty"`
}

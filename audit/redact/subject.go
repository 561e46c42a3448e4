package redact

import (
	"bytes"

	"github.com/gatehouse-io/gatehouse/audit"
)

// subject is what a body is known to be about. A later one is the stricter.
type subject uint8

const (
	plain     subject = iota
	configMap         // values by the names of their keys
	nested            // a Secret within another object: its data, and no more
	token             // what is not known to be harmless goes
	secret            // what is not known to be harmless goes
	opaque            // everything goes
)

// sensitive reports whether what is not known is taken out.
func (s subject) sensitive() bool { return s >= token }

// why is the marker for what is taken out of a subject.
func (s subject) why() string {
	if s == secret || s == nested {
		return whySecret
	}
	if s == configMap {
		return whyCredential
	}
	return whyToken
}

// subjectOf is what the bodies of an event are about, by what was asked for. Bodies of
// patches do not say it themselves.
func subjectOf(e *audit.Event) subject {
	switch e.Resource {
	case "secrets":
		return secret
	case "tokenreviews", "tokenrequests":
		return token
	case "serviceaccounts":
		if e.Subresource == "token" {
			return token
		}
	case "configmaps":
		return configMap
	case "oauthaccesstokens", "oauthauthorizetokens", "useroauthaccesstokens", "oauthclients":
		return opaque
	}
	return plain
}

// subjectOfKind is what an object of a kind is about. Kinds are compared without their
// case: a reader more lenient than an API server may meet what was stored.
func subjectOfKind(kind []byte) subject {
	kind = bytes.TrimSuffix(kind, []byte("List"))
	for _, k := range kinds {
		if bytes.EqualFold(kind, []byte(k.name)) {
			return k.subject
		}
	}
	return plain
}

var kinds = []struct {
	name    string
	subject subject
}{
	{"Secret", secret},
	{"ConfigMap", configMap},
	{"TokenRequest", token},
	{"TokenReview", token},
	{"ExecCredential", token},
	{"OAuthAccessToken", opaque},
	{"OAuthAuthorizeToken", opaque},
	{"UserOAuthAccessToken", opaque},
	{"OAuthClient", opaque},
}

package wal

// words are texts that most events have, and that a record names by their place. Their
// order is the format of version 1: a new word goes to the end, while there are fewer
// than wordLimit.
var words = [...]string{
	"",
	"RequestReceived", "ResponseStarted", "ResponseComplete", "Panic",
	"Metadata", "Request", "RequestResponse",
	"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "post", "put",
	"v1", "v1beta1", "v1alpha1", "v2",
	"allow", "forbid",
	"authorization.k8s.io/decision", "authorization.k8s.io/reason",
	"pod-security.kubernetes.io/enforce-policy", "mutation.webhook.admission.k8s.io/round_0_index_0",
	"system:authenticated", "system:unauthenticated", "system:serviceaccounts", "system:nodes", "system:masters",
	"authentication.kubernetes.io/credential-id", "authentication.kubernetes.io/node-name",
	"authentication.kubernetes.io/node-uid", "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid",
	"serve", "webhook", "raw", "eks", "gke", "aks", "openshift",
	"Success", "Failure", "NotFound", "Forbidden", "Conflict", "AlreadyExists", "Unauthorized", "Expired",
}

// wordLimit is how many words version 1 can ever have: a text of n bytes that is no
// word has the number wordLimit+n.
const wordLimit = 64

var wordPlace = func() map[string]byte {
	places := make(map[string]byte, len(words))
	for i, w := range words {
		places[w] = byte(i)
	}
	return places
}()

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

// longestWord is the longest of words.
const longestWord = 49

// wordPlaces are the places of words by their length: a handful of each, which are
// compared faster than any of them is hashed.
var wordPlaces = func() (places [longestWord + 1][]byte) {
	for i, w := range words {
		places[len(w)] = append(places[len(w)], byte(i))
	}
	return places
}()

// wordPlace is where a text is among words.
func wordPlace(s string) (place byte, ok bool) {
	if len(s) > longestWord {
		return 0, false
	}
	for _, i := range wordPlaces[len(s)] {
		if words[i] == s {
			return i, true
		}
	}
	return 0, false
}

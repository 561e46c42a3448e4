// Package attach is the attach mount: the gates behind the webhooks of an API
// server that already runs.
//
//	server, err := attach.New(attach.Options{
//		Endpoints: []attach.Endpoint{attach.Authorize(index), attach.Authenticate(tokens, audiences)},
//		Checks:    []attach.Check{{Name: "rbac", Ready: synced}},
//	})
//	err = server.Serve(ctx, attach.Listeners{Reviews: listener}, tlsConfig)
//
// Run does all of it for `gatehouse attach`: it watches the cluster, builds the
// gates, and keeps a serving certificate. A gate joins as an Endpoint, one path
// and a function from a review to its answer; around it the server bounds size,
// time and number of reviews, counts them, and turns errors into Status objects.
//
//	/authorize      SubjectAccessReview of authorization.k8s.io/v1
//	/authenticate   TokenReview of authentication.k8s.io/v1
//	/mutate         AdmissionReview of admission.k8s.io/v1, answered with a patch
//	/validate       AdmissionReview of admission.k8s.io/v1
//	/images         ImageReview of imagepolicy.k8s.io/v1alpha1
//	/audit          EventList of audit.k8s.io/v1, which is kept (package audit/trail)
//	/livez /readyz  health, ?verbose for each check
//	/metrics        Prometheus
//
// # Invariants
//
//   - No answer is no. Until every Check holds, a review is answered with 503;
//     an error, a panic or a review that takes too long allows nothing.
//   - A replica keeps no state of its own: all that it knows it has read from the
//     cluster and from its settings.
//   - No answer, log line or metric holds a token.
//   - All replicas of a Service sign their certificates with one CA, which is made
//     once, kept in a Secret, and never replaced by the program.
//
// # What it does not do
//
// It does not protect the API server from whoever can reach its port without
// Options of TLS that ask for a client certificate: without one, anybody may ask
// what anybody may do. The API server keeps answers for a while (its
// authorizedTTL and unauthorizedTTL): a change counts when they have ended.
package attach

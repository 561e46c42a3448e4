// Package queryapi answers questions about audit events over HTTP, as a resource of the
// Kubernetes API, and asks them.
//
//	handler, err := queryapi.New(queryapi.Options{Reader: store})
//	mux.Handle("/apis/gatehouse.io/v1alpha1/auditevents", handler) // and below it, and in namespaces
//
//	client := &queryapi.Client{Base: "https://…/apis/gatehouse.io/v1alpha1", HTTP: c} // is an audit.Reader
//
// The resource is auditevents. It is asked in the whole cluster or in one namespace:
//
//	GET /apis/GROUP/v1alpha1/auditevents                        list, or count with countBy
//	GET /apis/GROUP/v1alpha1/auditevents?watch=true             new events, one JSON object a line
//	GET /apis/GROUP/v1alpha1/auditevents/ID                     every event of a request, and what it changed
//	GET /apis/GROUP/v1alpha1/auditevents/actor                  who began an object
//	GET /apis/GROUP/v1alpha1/auditevents/timeline               events in lanes
//	GET /apis/GROUP/v1alpha1/auditevents/span                   from when to when there are events, and gaps
//	GET /apis/GROUP/v1alpha1/auditevents/requests               the distinct requests, one JSON object a line
//	GET /apis/GROUP/v1alpha1/namespaces/NAMESPACE/auditevents…  the same, of one namespace
//
// Who may ask is the mount's to decide, before the handler is called, by the ordinary
// attributes of such a request: verb list, watch or get, resource auditevents, and the
// namespace in the path.
//
// Invariants:
//   - A question in a namespace is answered through query.Scoped alone.
//   - Time, memory, size and number of answers are bounded. An answer that had to end
//     early says where to go on; one that could not be found in time is an error.
//   - A parameter that is not known is an error: a filter with a slip in its name would
//     otherwise be none.
//   - Errors are objects of kind Status.
//   - Questions are audit events by the mount's own audit, as any other request.
package queryapi

// Package serve is the serve mount: a complete Kubernetes API server, with etcd
// embedded, in one process, with every gate shut.
//
//	cfg, _ := v1alpha1.LoadServeConfiguration("gatehouse.yaml")
//	err := serve.Run(ctx, serve.Options{Config: cfg, Out: os.Stderr})
//
// Run prepares the data directory (lock, keys, generated settings), starts
// etcd, seeds what Kubernetes needs to be there from the first request, builds
// the API server from upstream's own parts with Gatehouse's gates put in, runs
// the controllers these gates need, and stops all of it when ctx ends.
//
// Invariants:
//   - One server a process: upstream keeps process-global state (scheme, feature
//     gates, metrics registry, klog).
//   - Nothing is listening to the outside before the authorizer, the admission
//     chain and the audit backend are in place.
//   - The data directory belongs to one process at a time.
//
// It does not run pods: there is no kubelet, scheduler or network here. Only
// this package imports k8s.io/kubernetes.
package serve

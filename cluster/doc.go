// Package cluster answers what a gate may know of a cluster without being in it:
// a View, filled from files or, read-only, from a live API.
//
//	view, err := cluster.FromFiles(ctx, []string{"manifests", "-"}, os.Stdin, cluster.FileOptions{})
//	view, err := cluster.FromLive(ctx, config, cluster.LiveOptions{})
//	...
//	for _, b := range view.RoleBindings {
//		fmt.Println(b.Object.Name, b.Source.Place()) // devs shop/rbac.yaml:12
//	}
//
// Files are YAML or JSON: several documents, lists (of kind List, or typed ones
// such as RoleList), and what `kubectl get -o yaml` prints. An object knows the
// file and line it begins on. An object of a kind the View does not hold is
// counted and left aside.
//
// Invariants:
//   - What cannot be read is an error, and then there is no View. All that is wrong
//     is said together, as a v1alpha1.FieldErrorList: file:line:col, and the mend.
//   - An object that the View holds was read to its last field: an unknown or
//     repeated field, a wrong type, or what the API server would refuse in an RBAC
//     object, is an error. There is at most one object of a kind, namespace and name.
//   - Objects come in the order of their namespace and name, whatever the order of
//     the files.
//   - The memory that reading takes is bounded by the size of the largest object
//     and what the View holds, not by the size of the files. A list is cut into its
//     items before it is parsed; an anchor that is used a thousand times over counts
//     a thousand times against a limit.
//
// An aggregated ClusterRole of a file has the rules that upstream's aggregation
// controller would give it (k8s.io/kubernetes, pkg/controller/clusterroleaggregation),
// computed until nothing changes any more. In a live cluster the controller has
// done so.
//
// It decides nothing, and never writes to a cluster.
package cluster

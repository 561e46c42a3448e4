// Package dashboard is the dashboards for Grafana, as code.
//
//	all, err := dashboard.All(dashboard.Options{})
//	for i := range all {
//		data, err := all[i].JSON()
//	}
//
// It answers: how do the gates fare? There is an overview, a dashboard for each gate
// (authentication, authorization, admission and policy, audit and detection, secrets and
// certificates) and one for the API server. A Dashboard is rows of panels, a panel is
// queries; where they stand on the page follows from their order.
//
// Invariants:
//   - Queries are of the series that Options.Selector matches, and of the instances that
//     are chosen in Grafana.
//   - Each gives a series of a server that has answered a few requests, and of one that
//     has never failed too: what may never have happened is shown as 0.
//   - The same code gives the same bytes: identifiers are names, not numbers drawn.
//
// The form is that of Grafana 9 and later (schemaVersion 36), in which a dashboard is
// imported, or provisioned from a folder.
package dashboard

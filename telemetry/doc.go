// Package telemetry is the room of what is told about Gatehouse itself: how its gates
// fare, and who is woken when they do not.
//
//	telemetry/meter      the instruments that mounts put around gates
//	telemetry/rule       alerts and recording rules for Prometheus, as code
//	telemetry/dashboard  dashboards for Grafana, as code
//
// Gates import none of it: what a gate counts it tells by a method, and a mount asks.
// Only mounts and the command line stand above this room.
//
// Invariants:
//   - A metric is gatehouse_<subsystem>_<noun>_<unit>[_total]. No label holds a name of a
//     user, a namespace or an object that clients can make more of.
//   - An alert has a page in docs/runbooks, a scenario in which it fires and one in which
//     it does not, both run by Prometheus's own engine.
//   - A query in a dashboard gives a series of a server that has answered a few requests.
package telemetry

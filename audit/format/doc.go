// Package format reads audit events out of the files that clusters and clouds write.
//
//	for event, problem := range format.Read(file, "audit.log", format.Options{}) {
//		if problem != nil { ... continue }
//		redactor.Event(event)
//	}
//
// What a line is, is told by the line, so a file may hold several forms:
//
//   - raw: Event and EventList of audit.k8s.io, one a line, several a line, printed over
//     many lines, or in a list; also within a log agent's {"log": "…"}.
//   - openshift: the same, with what OpenShift adds.
//   - gatehouse: what Gatehouse exports, with its Source and Unknown.
//   - eks: what CloudWatch Logs gives of an EKS cluster: logEvents of a subscription,
//     filter-log-events and get-log-events, results of Insights, aws logs tail, and exports to S3, where a
//     time stands before each line. A message that CloudWatch has split is put together.
//   - gke: Cloud Audit Logs of Kubernetes, in lines or as gcloud logging read prints.
//   - aks: properties.log of diagnostic settings, a text or an object, alone or in
//     records; rows of AKSAudit and of AzureDiagnostics; results of a query with columns.
//
// Each may be compressed by gzip or zstd, in any number of members.
//
// Invariants:
//   - Every line becomes events, or a Problem with its place; a line of another log that
//     an export rightly holds is a Problem that is Foreign. Nothing is left out in silence.
//   - A line that is broken takes no other with it.
//   - What a source cannot tell is in Event.Unknown: GKE's groups; the bodies that AKS has
//     skipped.
//   - One line, or one object over several lines, of at most MaxLine is held in memory.
//   - A Problem's reason says nothing of the line. Its Raw is the line, which may
//     hold a secret: Problem.Aside is what may be kept of it.
//
// It redacts nothing.
package format

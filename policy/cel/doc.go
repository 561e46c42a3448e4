// Package cel answers what ValidatingAdmissionPolicies and MutatingAdmissionPolicies
// say of a request, where no API server asks them itself: behind a webhook and over
// files. Under serve upstream's own plugins do, for every request of which Holds does not
// say that all policies hold:
//
//	if cel.Holds(ctx, set, request) {
//		return nil // upstream's plugin would not say a word
//	}
//
//	engine, err := cel.New(cel.Options{})
//	loaded := engine.Compile(objects)        // policies and bindings
//
// Policies of other languages that hold CEL are compiled onto the same evaluator:
//
//	compiler, err := cel.NewCompiler()
//	program, faults := compiler.Compile(cel.Rules{
//		Name: "K8sRequiredLabels", Params: true,
//		Variables:   []v1.Variable{{Name: "wanted", Expression: "params.spec.parameters.labels"}},
//		Validations: []v1.Validation{{Expression: "variables.wanted.all(l, l in object.metadata.labels)"}},
//	})
//	...
//	decisions := program.Evaluate(ctx, request, constraint.Object, namespace)
//
// What a Gatekeeper ConstraintTemplate holds of it goes by Gatekeeper's rules:
//
//	template, faults := compiler.CompileTemplate(name, source) // once for each template
//	bound := template.For(constraint.Object)                   // once for each constraint
//	decisions := bound.Evaluate(ctx, request, namespace)
//
// The evaluator is upstream's, k8s.io/apiserver/pkg/admission/plugin: its compiler,
// validator, matcher, patchers and the dispatcher of mutations. This package brings
// a request, the parameters and the schemas to it, and its decisions back. The tests
// run upstream's whole plugins beside the engine.
//
// # Invariants
//
//   - Nothing is compiled while a request waits.
//   - What CEL sees of a request is made once for all policies of all engines.
//   - A policy that does not compile does what its failure policy says, as a stored
//     one does in an API server; where an earlier version of it did compile, that
//     one stays in force.
//   - Nothing judges the kinds that hold these policies, nor reviews of tokens and
//     access: upstream leaves them out, so that a cluster can be mended.
//
// # What a policy reads
//
// A binding says by its Reads, and a Constraint by its own, which parts of a request decide
// whether it has anything to say. They are worked out when the policy is compiled: an
// analysis goes through every expression as an evaluation would, and follows where each
// value leads back into the request. A field that is selected, an element that is gone
// through, a list that is filtered or added to another are followed; of what is asked for
// its presence or its length, the Shape is read; whatever any other function is given is
// read wholly. What a name in Kubernetes stands for, such as labels for a map, may be
// supposed: a request that does not keep to it is judged as any other, and what was said
// of it is Unsettled, as is what was judged in another version than the request's. It is
// not known what a policy reads that has params, writes to the audit event, asks who may
// do what, or has a fault.
//
// That no read is missing is tested against evaluations: requests that differ in nothing
// that is read are answered alike, and what an evaluation looks at is read.
//
// # Where it cannot equal an API server
//
// An API server knows how to convert every kind it serves. Where there is no such
// server (policy.Request.Objects is nil) a matchPolicy Equivalent reaches over
// versions of a built-in kind whose Go types have the same fields, and matches
// every other exactly. A mutation's result is not defaulted here: an API server does
// that when the webhook has answered.
//
// The specification is k8s.io/api/admissionregistration/v1 and the page
// https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/.
package cel

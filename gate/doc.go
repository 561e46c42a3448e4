// Package gate is the vocabulary of the house: what is asked of a gate, what it
// answers, and how it says why.
//
// A request passes gates in order: authentication says who it is, authorization
// whether they may, admission whether the object may be stored. Each gate speaks
// upstream's own interface (authenticator.Request, authorizer.Authorizer,
// admission.ValidationInterface), so that one gate stands under every mount. What
// upstream's interfaces cannot carry is why; that is this package.
//
//	recorder := &gate.Recorder{}
//	decision, _, err := authorizer.Authorize(gate.WithRecorder(ctx, recorder), attributes)
//	for _, step := range recorder.Steps() { ... }
//
// A Step is what one part of one gate made of a request: its opinion, the reason
// in words, and the Sources that said so, each an object ("RoleBinding shop/devs")
// or a place in a file ("policy.jsonl:3"). A Trace is the request with all of its
// steps and the Verdict they come to. A Finding is a step that concerns a file or
// an object rather than a request.
//
// Invariants:
//   - A gate that finds no Recorder in the context records nothing: the cost is one
//     look into the context, and no allocation.
//   - Recording changes no verdict. Where a Recorder asks for all opinions
//     (Recorder.All), a gate may go on after it has decided, so that a person sees
//     every obstacle and not the first alone; the verdict stays the one that the
//     first decision made.
//   - Nothing secret enters a Step: no token, key, Secret value or request body.
//   - Texts come from objects that clients wrote. Print escapes what would steer a
//     terminal; whoever renders a Step in another way escapes it for that way.
//
// The package imports next to nothing, so that everything may import it.
package gate

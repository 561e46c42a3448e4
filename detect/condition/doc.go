// Package condition compiles what a detection rule says about one event: its condition,
// its keys and its message.
//
//	env, err := condition.NewEnv()
//	c, err := env.Condition(`event.verb == "create" && containers.exists(c, has(c.securityContext.privileged) && c.securityContext.privileged)`)
//	var in condition.Input
//	in.Set(event)
//	yes, err := c.Match(ctx, &in)
//
// Expressions are CEL over a typed event (package audit/celevent). To event come variables
// that many rules would spell out otherwise:
//
//	user        who was authenticated
//	actor       who was impersonated, or else user: who authorization decided for
//	address     the last of sourceIPs, the only one a client cannot choose
//	ns          the namespace of the object
//	who         user, account, node or controller: what kind of user it is
//	object      what was written: of the response where it is recorded, or else of the
//	            request. A JSON patch is laid out as the object it makes. Empty for none
//	pod         the PodSpec in object, wherever it stands. Empty for none
//	containers  the containers of pod, with init and ephemeral ones
//	count       in a message: what was counted
//	values      in a message: some of the values that were counted
//
// Most events are none of most rules' business, and most conditions can be seen to fail
// from a verb, a name or a user. That is done without CEL, which allocates: a condition is
// also compiled into a predicate of three values, true, false and unknown. What it does
// not know (bodies, comprehensions, errors) is unknown, and only then CEL is asked. A
// test holds the two against each other.
//
// Invariants:
//   - Where the predicate says true or false, CEL says the same.
//   - A condition that cannot be evaluated does not match, and says so by an error.
//   - Match does not allocate where the predicate knows.
//   - A message is text of clients. Whoever shows it escapes it.
package condition

// Package kept keeps what servers under test have said, and which secrets the tests have
// handed them, so that test/leaks can look for the one in the other when everything has
// run.
//
//	cmd.Stderr = io.MultiWriter(log, kept.Log(t, "gatehouse"))
//	config.Wrap(kept.Transport) // every token, and every value of a Secret
//	kept.Secret(token)
//
// Everything is in the folder $GATEHOUSE_TEST_KEEP, and nothing is kept without it:
// logs, audit and traces have what must hold no secret, and secrets what the tests know.
package kept

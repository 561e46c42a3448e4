// Command leaks looks for secrets in what the servers of the end-to-end tests have
// written: their logs, their audit logs, and the traces that collectors were sent. `make test` runs it
// when all tests have run:
//
//	go run ./test/leaks dist/kept
//
// It looks for every secret that the tests have handed out (package test/e2e/kept), as
// it is and in base64, and for whatever has the form of a JSON web token, a bootstrap
// token or a private key. One is enough to fail. So is a folder without logs, audit
// logs, traces or secrets: it would have found nothing in any case.
package main

// Package detect has a real Alertmanager told of what is done to a real gatehouse serve.
//
// Each test is about what only the whole can show: how long it takes from a request to
// an alert, that objects change what is told while the server runs, that who is stopped is
// stopped, and that a kill -9 hides nothing.
package detect

// Package monitoring has a real Prometheus scrape a real gatehouse serve and a real
// gatehouse attach, with the rules that gatehouse print alerts writes: every query of
// every dashboard gives a series, every rule is evaluated, and no metric breaks the
// conventions.
package monitoring

// Package station puts the detection gate together for a mount: from events that are kept
// to whoever is told, and to what is done.
//
//	s, err := station.Open(station.Options{Settings: cfg.Detection, Reader: trail.Reader(), Config: client})
//	trail.Tap(s.Take)
//	s.Run(ctx)             // once the API server answers, until ctx ends
//	s.Close()
//
// It holds a watch.Watcher (which rules, which findings), an alert.Dispatcher (who is
// told), and, where the settings ask for one, a respond.Responder (who is stopped).
//
// Invariants:
//   - What is wrong with settings, files of rules and files of secrets is an error of Open.
//     What is wrong later is logged, and stops no request.
//   - The rules are compiled by Run, so that a start does not wait for them.
//   - What rules remember is saved before the alerts are closed.
package station

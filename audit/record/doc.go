// Package record turns events of audit.k8s.io into audit.Event and back.
//
//	var d record.Decoder
//	event, err := d.Event(line)         // one Event in JSON
//	items, err := d.List(body)          // an EventList, or a single Event
//	event = record.FromInternal(e)      // in process, without JSON
//	line = record.AppendJSON(nil, event)
//
// Invariants:
//   - What is decoded says what upstream's own types would say after encoding/json; what
//     they refuse is refused. There are three differences. A timestamp may have any number of
//     digits behind the second. An event without auditID, stage or time is refused: it
//     could not be told from another. An object of the envelope in which a key stands
//     twice, or a known key in other letters, is refused: readers of JSON disagree on
//     what it says.
//   - Bodies are checked to be JSON and are copied; nothing of the input is kept.
//   - What AppendJSON prints decodes to the same event, Source, Unknown and Truncated
//     included, and is a valid audit.k8s.io/v1 Event for everyone else.
//   - Errors name a field and an offset, never a value.
//
// Fields that an audit.Event has no place for (the details and the metadata of a
// responseStatus, members upstream does not know) are left out and counted in
// Decoder.Omitted.
//
// It redacts nothing: that is package audit/redact.
package record

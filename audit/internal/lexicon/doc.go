// Package lexicon answers: which texts do some events have, and which of them has each
// event? It gives numbers to texts, lists and maps, so that whoever works with many events
// looks at each text once, and at events by comparing numbers.
//
//	words := lexicon.New()
//	row := words.Row(event)
//	user := words.Texts(lexicon.User)[row.Texts[lexicon.User]]
//
// Columns of a Parquet file have such numbers beside a dictionary of texts
// (audit/segment), and roll-ups are counted by them (audit/store/catalog): both are made
// from one Row.
//
// Invariants:
//   - Numbers of a field begin at 0 and have no gaps, in the order in which the texts came:
//     the same events have the same numbers.
//   - Every text is UTF-8; what was not has U+FFFD in place of what is not.
//   - An event does not change, as audit.Event says: a list or a map that lies where one
//     was before is the same one, and is kept as long as it is compared.
//
// It forgets nothing: who uses it begins another one before it is too large (Long).
package lexicon

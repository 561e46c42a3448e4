// Package jsondoc reads one JSON document into a flat tree over its own bytes, and
// writes it again with some values replaced and every other byte as it was.
//
//	var d jsondoc.Document
//	if err := d.Parse(line); err != nil { ... }
//	for i := d.Child(d.Root()); i != 0; i = d.Next(i) {
//		if string(d.Key(i)) == "data" { d.Replace(i, []byte(`"gone"`)) }
//	}
//	out := d.Output()
//
// Invariants:
//   - It accepts what encoding/json accepts, and nothing else, down to the same depth.
//   - Members of an object come in the order they stand in; what stands twice comes
//     twice, so that whoever redacts sees both.
//   - A Document that is used again allocates no nodes; what its methods return is
//     valid until the next call.
//   - Errors name an offset and never what stands there.
//
// It does not convert numbers, and does not change the bytes it was given.
package jsondoc

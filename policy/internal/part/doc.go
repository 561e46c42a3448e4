// Package part writes parts of objects down so that what differs is written differently:
// what a digest is made of.
//
//	w := part.Writer{Layouts: &layouts, Most: 64 << 10}
//	w.Part(reflect.ValueOf(pod), []string{"spec", "containers", part.Each, "image"}, false)
//	digest := sha256.Sum256(w.Text) // unless w.Lost
//
// An object is of a Go type, as a server has it, or of maps and lists as JSON is read into;
// the fields are those of JSON in both. The two forms are not written alike, for a field that
// is not set is there in one and not in the other.
//
// What is equal may be written in two ways (a list that is nil and one that is empty): then
// it is taken for something new, which costs time and nothing else.
package part

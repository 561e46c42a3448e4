package scan

import (
	"encoding/binary"
	"hash/maphash"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/policy/internal/part"
)

// hashes tell versions of an object apart by what policies judge it by: not by its status,
// nor by what a server writes for every change. Objects of different forms are not to be
// compared. They are safe for concurrent use.
type hashes struct {
	layouts part.Layouts
	// seed makes hashes of this process its own: nobody can choose objects that collide.
	seed maphash.Seed
}

func newHashes() *hashes { return &hashes{seed: maphash.MakeSeed()} }

func (h *hashes) of(o Item) uint64 {
	object, meta := reflect.ValueOf(o), reflect.Value{}
	if u, ok := o.(*unstructured.Unstructured); ok {
		object, meta = reflect.ValueOf(u.Object), reflect.ValueOf(u.Object["metadata"])
	} else {
		meta = object.Elem().FieldByName("ObjectMeta")
	}
	w := part.Writer{Layouts: &h.layouts, Text: make([]byte, 0, 2<<10)}
	w.Except(object, "status", "kind", "apiVersion", "metadata")
	ends := len(w.Text)
	w.Except(meta, "managedFields", "resourceVersion", "generation")
	// What moves from the metadata to the object, or back, has changed.
	return maphash.Bytes(h.seed, binary.LittleEndian.AppendUint64(w.Text, uint64(ends)))
}

package scan

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// seed makes hashes of this process its own: nobody can choose objects that collide.
var seed = maphash.MakeSeed()

// hashOf tells versions of an object apart by what policies judge it by: not by its
// status, nor by what a server writes for every change. Objects of different forms are
// not to be compared.
func hashOf(o Item) uint64 {
	if u, ok := o.(*unstructured.Unstructured); ok {
		return contentHash(u)
	}
	return typedHash(o)
}

// contentHash is hashOf for unstructured objects.
func contentHash(o *unstructured.Unstructured) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, key := range slices.Sorted(maps.Keys(o.Object)) {
		switch key {
		case "status":
		case "metadata":
			m, _ := o.Object[key].(map[string]any)
			for _, field := range slices.Sorted(maps.Keys(m)) {
				switch field {
				case "managedFields", "resourceVersion", "generation":
				default:
					h.WriteString(field)
					hashInto(&h, m[field])
				}
			}
		default:
			h.WriteString(key)
			hashInto(&h, o.Object[key])
		}
	}
	return h.Sum64()
}

func hashInto(h *maphash.Hash, value any) {
	var number [8]byte
	switch v := value.(type) {
	case map[string]any:
		h.WriteByte('{')
		for _, key := range slices.Sorted(maps.Keys(v)) {
			h.WriteByte('k')
			h.WriteString(key)
			h.WriteByte(0)
			hashInto(h, v[key])
		}
		h.WriteByte('}')
	case []any:
		h.WriteByte('[')
		for i := range v {
			hashInto(h, v[i])
		}
		h.WriteByte(']')
	case string:
		h.WriteByte('s')
		binary.LittleEndian.PutUint64(number[:], uint64(len(v)))
		h.Write(number[:])
		h.WriteString(v)
	case int64:
		h.WriteByte('i')
		binary.LittleEndian.PutUint64(number[:], uint64(v))
		h.Write(number[:])
	case float64:
		h.WriteByte('f')
		binary.LittleEndian.PutUint64(number[:], math.Float64bits(v))
		h.Write(number[:])
	case bool:
		if v {
			h.WriteByte('t')
		} else {
			h.WriteByte('n')
		}
	default:
		h.WriteByte('0')
	}
}

package scan

import (
	"encoding/binary"
	"encoding/json"
	"hash/maphash"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// typedHash is hashOf for objects of Go types: over what their JSON says, without making
// it. It changes nothing in the object, not even what it remembers of its own texts.
func typedHash(o Item) uint64 {
	v := reflect.ValueOf(o).Elem()
	write := writers.of(v.Type(), whole)
	buffer := buffers.Get().(*[]byte)
	text := write((*buffer)[:0], v)
	sum := maphash.Bytes(seed, text)
	*buffer = text
	buffers.Put(buffer)
	return sum
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// writer appends what a value says, so that no two values that say different things
// write the same.
type writer func(to []byte, v reflect.Value) []byte

// part says what of a type counts.
type part uint8

const (
	whole    part = iota // an object without its status
	metadata             // that of an object, without what a server writes for every change
	inner                // all
)

// left is what does not count, by its name in JSON.
var left = [...][]string{
	whole:    {"status", "kind", "apiVersion"},
	metadata: {"managedFields", "resourceVersion", "generation"},
	inner:    nil,
}

// typeWriters has the writers of the types seen; making one costs more than using it.
type typeWriters struct {
	mu   sync.RWMutex
	made map[typePart]writer
}

type typePart struct {
	reflect.Type
	part
}

// writers hold nothing but what types are.
var writers = &typeWriters{made: map[typePart]writer{}}

func (t *typeWriters) of(of reflect.Type, p part) writer {
	t.mu.RLock()
	w := t.made[typePart{of, p}]
	t.mu.RUnlock()
	if w != nil {
		return w
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// What refers to itself is found unfinished: nobody else sees it before it is done.
	making := map[typePart]*writer{}
	w = t.makeLocked(of, p, making)
	for key, made := range making {
		t.made[key] = *made
	}
	return w
}

var (
	timeType      = reflect.TypeFor[metav1.Time]()
	microTimeType = reflect.TypeFor[metav1.MicroTime]()
	quantityType  = reflect.TypeFor[resource.Quantity]()
	intOrString   = reflect.TypeFor[intstr.IntOrString]()
	stringMap     = reflect.TypeFor[map[string]string]()
	marshaler     = reflect.TypeFor[json.Marshaler]()
)

func (t *typeWriters) makeLocked(of reflect.Type, p part, making map[typePart]*writer) writer {
	key := typePart{of, p}
	if made := t.made[key]; made != nil {
		return made
	}
	if begun := making[key]; begun != nil {
		return func(to []byte, v reflect.Value) []byte { return (*begun)(to, v) }
	}
	made := new(writer)
	making[key] = made
	*made = t.writerLocked(of, p, making)
	return *made
}

func (t *typeWriters) writerLocked(of reflect.Type, p part, making map[typePart]*writer) writer {
	switch of {
	case timeType:
		return func(to []byte, v reflect.Value) []byte {
			at := v.Addr().Interface().(*metav1.Time)
			if at.IsZero() {
				return append(to, '0')
			}
			return number(append(to, 'T'), uint64(at.Unix()))
		}
	case microTimeType:
		return func(to []byte, v reflect.Value) []byte {
			at := v.Addr().Interface().(*metav1.MicroTime)
			if at.IsZero() {
				return append(to, '0')
			}
			return number(append(to, 'T'), uint64(at.UnixMicro()))
		}
	case quantityType:
		return func(to []byte, v reflect.Value) []byte {
			// Of a copy: it remembers its text when it is asked for it.
			q := *v.Addr().Interface().(*resource.Quantity)
			var space [32]byte
			digits, suffix := q.CanonicalizeBytes(space[:0])
			return bytes(bytes(append(to, 'q'), digits), suffix)
		}
	case intOrString:
		return func(to []byte, v reflect.Value) []byte {
			i := v.Addr().Interface().(*intstr.IntOrString)
			if i.Type == intstr.String {
				return text(to, i.StrVal)
			}
			return number(append(to, 'i'), uint64(i.IntVal))
		}
	case stringMap:
		return func(to []byte, v reflect.Value) []byte {
			m := *v.Addr().Interface().(*map[string]string)
			if m == nil {
				return append(to, '0')
			}
			to = number(append(to, '{'), uint64(len(m)))
			from, sum := len(to), uint64(0)
			for key, value := range m {
				to = text(text(to[:from], key), value)
				sum += maphash.Bytes(seed, to[from:])
			}
			return number(to[:from], sum)
		}
	}
	if of.Kind() != reflect.Pointer && (of.Implements(marshaler) || reflect.PointerTo(of).Implements(marshaler)) {
		return writeJSON
	}
	switch of.Kind() {
	case reflect.Bool:
		return func(to []byte, v reflect.Value) []byte {
			if v.Bool() {
				return append(to, 't')
			}
			return append(to, 'n')
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(to []byte, v reflect.Value) []byte { return number(append(to, 'i'), uint64(v.Int())) }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(to []byte, v reflect.Value) []byte { return number(append(to, 'u'), v.Uint()) }
	case reflect.Float32, reflect.Float64:
		return func(to []byte, v reflect.Value) []byte {
			return number(append(to, 'f'), math.Float64bits(v.Float()))
		}
	case reflect.String:
		return func(to []byte, v reflect.Value) []byte { return text(to, v.String()) }
	case reflect.Pointer:
		elem := t.makeLocked(of.Elem(), inner, making)
		return func(to []byte, v reflect.Value) []byte {
			if v.IsNil() {
				return append(to, '0')
			}
			return elem(to, v.Elem())
		}
	case reflect.Slice:
		if of.Elem().Kind() == reflect.Uint8 {
			return func(to []byte, v reflect.Value) []byte {
				if v.IsNil() {
					return append(to, '0')
				}
				return bytes(append(to, 'b'), v.Bytes())
			}
		}
		elem := t.makeLocked(of.Elem(), inner, making)
		return func(to []byte, v reflect.Value) []byte {
			if v.IsNil() {
				return append(to, '0')
			}
			to = number(append(to, '['), uint64(v.Len()))
			for i := range v.Len() {
				to = elem(to, v.Index(i))
			}
			return to
		}
	case reflect.Map:
		return t.mapWriterLocked(of, making)
	case reflect.Struct:
		return t.structWriterLocked(of, p, making)
	}
	return writeJSON
}

// mapWriterLocked has the entries of a map count in whatever order they come.
func (t *typeWriters) mapWriterLocked(of reflect.Type, making map[typePart]*writer) writer {
	keyOf, valueOf := t.makeLocked(of.Key(), inner, making), t.makeLocked(of.Elem(), inner, making)
	return func(to []byte, v reflect.Value) []byte {
		if v.IsNil() {
			return append(to, '0')
		}
		to = number(append(to, '{'), uint64(v.Len()))
		from, sum := len(to), uint64(0)
		// What is in a map has no address of its own, and some are asked by theirs.
		key, value := reflect.New(of.Key()).Elem(), reflect.New(of.Elem()).Elem()
		for all := v.MapRange(); all.Next(); {
			key.SetIterKey(all)
			value.SetIterValue(all)
			to = valueOf(keyOf(to[:from], key), value)
			sum += maphash.Bytes(seed, to[from:])
		}
		return number(to[:from], sum)
	}
}

type field struct {
	at    int
	empty bool // left out where it is empty
	write writer
}

// structWriterLocked tells fields apart by where they are, and leaves out those that
// JSON leaves out.
func (t *typeWriters) structWriterLocked(of reflect.Type, p part, making map[typePart]*writer) writer {
	var fields []field
	for i := range of.NumField() {
		f := of.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() || slices.Contains(left[p], name) {
			continue
		}
		within := inner
		switch {
		case p == whole && name == "metadata":
			within = metadata
		case f.Anonymous && name == "": // its fields are as if they were of this struct
			within = p
		}
		fields = append(fields, field{i, strings.Contains(options, "omitempty"), t.makeLocked(f.Type, within, making)})
	}
	return func(to []byte, v reflect.Value) []byte {
		to = append(to, '{')
		for i := range fields {
			f := &fields[i]
			value := v.Field(f.at)
			if f.empty && isEmpty(value) {
				continue
			}
			to = f.write(binary.BigEndian.AppendUint16(to, uint16(f.at)), value)
		}
		return append(to, 0xff, 0xff)
	}
}

// isEmpty is what omitempty means.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.String, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// writeJSON is for what has its own idea of JSON.
func writeJSON(to []byte, v reflect.Value) []byte {
	said, err := json.Marshal(v.Addr().Interface())
	if err != nil {
		// Policies will find that it cannot be read.
		return text(append(to, 'e'), err.Error())
	}
	return bytes(append(to, 'j'), said)
}

func number(to []byte, n uint64) []byte { return binary.LittleEndian.AppendUint64(to, n) }

func text(to []byte, s string) []byte {
	return append(binary.AppendUvarint(append(to, 's'), uint64(len(s))), s...)
}

func bytes(to, b []byte) []byte { return append(binary.AppendUvarint(to, uint64(len(b))), b...) }

package part

import (
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Each stands among fields for every element of a list, and every value of a map.
const Each = "\x00each"

// Writer writes parts of objects down so that parts which differ are written
// differently. What is equal may be written differently too: then it is taken for
// something new.
type Writer struct {
	Layouts *Layouts
	// Text is what has been written.
	Text []byte
	// Most is how long it may become. Default: as long as it takes.
	Most int
	// Lost says that something could not be written, or is too long to be.
	Lost bool
}

// Full reports whether nothing more can be written.
func (w *Writer) Full() bool {
	w.Lost = w.Lost || w.Most > 0 && len(w.Text) > w.Most
	return w.Lost
}

// Every value begins with what it is.
const (
	isAbsent  = 'a'
	isNull    = 'n'
	isTrue    = 't'
	isFalse   = 'f'
	isInteger = 'i'
	isNatural = 'u'
	isFloat   = 'd'
	isString  = 's'
	isBytes   = 'b'
	isList    = 'l'
	isMap     = 'm'
	isStruct  = 'o'
	isLeaf    = 'v'
	isOther   = 'x'
)

func (w *Writer) number(n uint64) { w.Text = binary.LittleEndian.AppendUint64(w.Text, n) }

// String writes a text, and how long it is.
func (w *Writer) String(s string) {
	w.Text = binary.AppendUvarint(w.Text, uint64(len(s)))
	w.Text = append(w.Text, s...)
}

var (
	quantity = reflect.TypeFor[resource.Quantity]()
	moment   = reflect.TypeFor[time.Time]()
	textMap  = reflect.TypeFor[map[string]string]()
	treeMap  = reflect.TypeFor[map[string]any]()
)

// Part writes what fields lead to. What ends before them says where.
func (w *Writer) Part(v reflect.Value, fields []string, shape bool) {
	if w.Full() {
		return
	}
	v = bare(v)
	switch {
	case !v.IsValid(), len(fields) > 0 && (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.IsNil():
		w.Text = append(w.Text, isNull, byte(len(fields)))
		return
	case len(fields) == 0 && shape:
		w.shape(v)
		return
	case len(fields) == 0:
		w.Whole(v)
		return
	}
	if o, ok := asTree(v); ok {
		w.treePart(o, fields, shape)
		return
	}
	field, rest := fields[0], fields[1:]
	switch v.Kind() {
	case reflect.Struct:
		known := w.Layouts.of(v.Type())
		if known.leaf || field == Each {
			break
		}
		w.Lost = w.Lost || known.nameless
		at, ok := known.fields[field]
		if !ok {
			w.Text = append(w.Text, isAbsent, byte(len(fields)))
			return
		}
		w.Part(v.FieldByIndex(at), rest, shape)
		return
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			break
		}
		if field == Each {
			w.Text = append(w.Text, isMap)
			w.number(uint64(v.Len()))
			for _, key := range sortedKeys(v) {
				w.String(key)
				w.Part(v.MapIndex(reflect.ValueOf(key).Convert(v.Type().Key())), rest, shape)
			}
			return
		}
		element := v.MapIndex(reflect.ValueOf(field).Convert(v.Type().Key()))
		if !element.IsValid() {
			w.Text = append(w.Text, isAbsent, byte(len(fields)))
			return
		}
		w.Part(element, rest, shape)
		return
	case reflect.Slice, reflect.Array:
		if field != Each || v.Type().Elem().Kind() == reflect.Uint8 {
			break
		}
		w.Text = append(w.Text, isList)
		w.number(uint64(v.Len()))
		for i := range v.Len() {
			w.Part(v.Index(i), rest, shape)
		}
		return
	}
	// It has no such parts: what it says instead may be an error that shows it.
	w.Text = append(w.Text, isOther, byte(len(fields)))
	w.Whole(v)
}

// Except writes all of an object but the fields of these names.
func (w *Writer) Except(v reflect.Value, names ...string) {
	v = bare(v)
	switch v.Kind() {
	case reflect.Struct:
		of := w.Layouts.of(v.Type())
		for i, at := range of.all {
			if !slices.Contains(names, of.names[i]) {
				w.Whole(v.FieldByIndex(at))
			}
		}
	case reflect.Map:
		for _, key := range sortedKeys(v) {
			if !slices.Contains(names, key) {
				w.String(key)
				w.Whole(v.MapIndex(reflect.ValueOf(key).Convert(v.Type().Key())))
			}
		}
	}
}

// bare is a value without pointers and interfaces around it; none for nil.
func bare(v reflect.Value) reflect.Value {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		v = v.Elem()
	}
	return v
}

func sortedKeys(v reflect.Value) []string {
	keys := make([]string, 0, v.Len())
	for each := v.MapRange(); each.Next(); {
		keys = append(keys, each.Key().String())
	}
	slices.Sort(keys)
	return keys
}

// shape writes what a value is, without the values in it.
func (w *Writer) shape(v reflect.Value) {
	v = bare(v)
	if !v.IsValid() {
		w.Text = append(w.Text, isNull)
		return
	}
	switch v.Kind() {
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			w.Whole(v)
			return
		}
		w.Text = append(w.Text, isMap, nilness(v))
		w.number(uint64(v.Len()))
		for _, key := range sortedKeys(v) {
			w.String(key)
		}
	case reflect.Slice, reflect.Array:
		w.Text = append(w.Text, isList, nilness(v))
		w.number(uint64(v.Len()))
	case reflect.Struct:
		of := w.Layouts.of(v.Type())
		if of.leaf {
			w.Whole(v)
			return
		}
		w.Text = append(w.Text, isStruct)
		for _, at := range of.all {
			f := v.FieldByIndex(at)
			switch f.Kind() {
			case reflect.Struct: // whether it is written may be for its own fields to say
				if w.Layouts.of(f.Type()).leaf {
					w.Text = append(w.Text, zeroness(f))
				} else {
					w.shape(f)
				}
			case reflect.Map, reflect.Slice, reflect.Pointer, reflect.Interface:
				empty := byte('0')
				if (f.Kind() == reflect.Map || f.Kind() == reflect.Slice) && f.Len() > 0 {
					empty = '1'
				}
				w.Text = append(w.Text, nilness(f), empty)
			default:
				w.Text = append(w.Text, zeroness(f))
			}
		}
	default:
		w.Text = append(w.Text, isLeaf, byte(v.Kind()), zeroness(v))
	}
}

func nilness(v reflect.Value) byte {
	return presence(v.Kind() == reflect.Array || !v.IsNil())
}

func zeroness(v reflect.Value) byte {
	if v.IsZero() {
		return 'Z'
	}
	if v.CanInterface() {
		if own, ok := v.Interface().(interface{ IsZero() bool }); ok && own.IsZero() {
			return 'z'
		}
	}
	return 'V'
}

// Whole writes all of a value.
func (w *Writer) Whole(v reflect.Value) {
	if w.Full() {
		return
	}
	boxed := v.Kind() == reflect.Interface
	v = bare(v)
	if !v.IsValid() {
		w.Text = append(w.Text, isNull)
		return
	}
	if o, ok := asTree(v); ok {
		w.tree(o)
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			w.Text = append(w.Text, isTrue)
		} else {
			w.Text = append(w.Text, isFalse)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.Text = append(w.Text, isInteger)
		w.number(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		w.Text = append(w.Text, isNatural)
		w.number(v.Uint())
	case reflect.Float32, reflect.Float64:
		w.Text = append(w.Text, isFloat)
		w.number(math.Float64bits(v.Float()))
	case reflect.String:
		w.Text = append(w.Text, isString)
		w.String(v.String())
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
			w.Text = append(w.Text, isBytes, nilness(v))
			w.String(string(v.Bytes()))
			return
		}
		w.Text = append(w.Text, isList, nilness(v))
		w.number(uint64(v.Len()))
		for i := range v.Len() {
			w.Whole(v.Index(i))
		}
	case reflect.Map:
		w.Text = append(w.Text, isMap, nilness(v))
		w.number(uint64(v.Len()))
		if v.Type().Key().Kind() != reflect.String {
			w.pairs(v)
			return
		}
		if texts, ok := asTexts(v); ok {
			for _, key := range sortedKeysOf(texts) {
				w.String(key)
				w.Text = append(w.Text, isString)
				w.String(texts[key])
			}
			return
		}
		for _, key := range sortedKeys(v) {
			w.String(key)
			w.Whole(v.MapIndex(reflect.ValueOf(key).Convert(v.Type().Key())))
		}
	case reflect.Struct:
		w.structure(v, boxed)
	default: // nothing that is read from a client is of such a kind
		w.Lost = true
	}
}

// asTexts is a map of texts, such as labels, which costs less to go through as itself.
func asTexts(v reflect.Value) (texts map[string]string, ok bool) {
	if v.Type() != textMap || !v.CanInterface() {
		return nil, false
	}
	texts, ok = v.Interface().(map[string]string)
	return texts, ok
}

// pairs writes a map whose keys are no text: in the order of how they are written.
func (w *Writer) pairs(v reflect.Value) {
	var all []string
	for each := v.MapRange(); each.Next(); {
		one := Writer{Layouts: w.Layouts}
		one.Whole(each.Key())
		one.Whole(each.Value())
		all = append(all, string(one.Text))
		w.Lost = w.Lost || one.Lost
	}
	slices.Sort(all)
	for _, one := range all {
		w.String(one)
	}
}

// structure writes a struct, with the name of its type where it is boxed: where nothing
// else says what it is.
func (w *Writer) structure(v reflect.Value, boxed bool) {
	switch v.Type() {
	case quantity:
		// Policies see how it is written, which two forms of it share.
		if v.CanInterface() {
			q := v.Interface().(resource.Quantity)
			w.Text = append(w.Text, isLeaf)
			w.String(q.String())
			return
		}
	case moment:
		if v.CanInterface() {
			at := v.Interface().(time.Time)
			_, offset := at.Zone()
			w.Text = append(w.Text, isLeaf)
			w.number(uint64(at.Unix()))
			w.number(uint64(at.Nanosecond()))
			w.number(uint64(int64(offset)))
			return
		}
	}
	w.Text = append(w.Text, isStruct)
	if boxed {
		w.String(v.Type().String())
	}
	for i := range v.NumField() {
		w.Whole(v.Field(i))
	}
}

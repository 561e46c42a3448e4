package policy

import (
	"context"
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
)

// layouts are how Go types stand in JSON. It is safe for concurrent use.
type layouts struct{ known sync.Map } // reflect.Type → *layout

// layout are the fields of a struct by their names in JSON, those of embedded structs
// among them.
type layout struct {
	fields map[string][]int
	all    [][]int // in the order of the type
	// nameless says that fields have no names for JSON: it is a type that a server has
	// for itself, and which no policy sees.
	nameless bool
}

func (l *layouts) of(t reflect.Type) *layout {
	if found, ok := l.known.Load(t); ok {
		return found.(*layout)
	}
	fresh := &layout{fields: map[string][]int{}}
	fresh.add(t, nil)
	l.known.Store(t, fresh)
	return fresh
}

func (l *layout) add(t reflect.Type, above []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(above), i)
		tag, tagged := f.Tag.Lookup("json")
		name, _, _ := strings.Cut(tag, ",")
		if f.Anonymous && f.Type.Kind() == reflect.Struct && name == "" {
			l.add(f.Type, at)
			continue
		}
		l.all = append(l.all, at)
		l.nameless = l.nameless || !tagged && f.IsExported()
		if _, known := l.fields[name]; !known && name != "" && name != "-" {
			l.fields[name] = at
		}
	}
}

// writer writes parts of objects down so that parts which differ are written
// differently. What is equal may be written differently too: then it is taken for
// something new.
type writer struct {
	layouts *layouts
	text    []byte
	// lost says that something could not be written, or is too long to be.
	lost bool
}

// mostWritten bounds what is written of one request: what is longer is judged anew each
// time, which costs little beside reading it.
const mostWritten = 64 << 10

// full reports whether that much is written.
func (w *writer) full() bool {
	w.lost = w.lost || len(w.text) > mostWritten
	return w.lost
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

func (w *writer) number(n uint64) { w.text = binary.LittleEndian.AppendUint64(w.text, n) }

func (w *writer) string(s string) {
	w.text = binary.AppendUvarint(w.text, uint64(len(s)))
	w.text = append(w.text, s...)
}

var (
	quantity = reflect.TypeFor[resource.Quantity]()
	moment   = reflect.TypeFor[time.Time]()
	noValue  reflect.Value
)

// part writes what fields lead to. What ends before them says where.
func (w *writer) part(v reflect.Value, fields []string, shape bool) {
	if w.full() {
		return
	}
	v = bare(v)
	switch {
	case !v.IsValid(), len(fields) > 0 && (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.IsNil():
		w.text = append(w.text, isNull, byte(len(fields)))
		return
	case len(fields) == 0 && shape:
		w.shape(v)
		return
	case len(fields) == 0:
		w.whole(v)
		return
	}
	field, rest := fields[0], fields[1:]
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == quantity || v.Type() == moment || field == Each {
			break
		}
		known := w.layouts.of(v.Type())
		w.lost = w.lost || known.nameless
		at, ok := known.fields[field]
		if !ok {
			w.text = append(w.text, isAbsent, byte(len(fields)))
			return
		}
		w.part(v.FieldByIndex(at), rest, shape)
		return
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			break
		}
		if field == Each {
			w.text = append(w.text, isMap)
			w.number(uint64(v.Len()))
			for _, key := range sortedKeys(v) {
				w.string(key)
				w.part(v.MapIndex(reflect.ValueOf(key).Convert(v.Type().Key())), rest, shape)
			}
			return
		}
		element := noValue
		if o, ok := v.Interface().(map[string]any); ok {
			if value, ok := o[field]; ok {
				element = reflect.ValueOf(&value).Elem()
			}
		} else {
			element = v.MapIndex(reflect.ValueOf(field).Convert(v.Type().Key()))
		}
		if !element.IsValid() {
			w.text = append(w.text, isAbsent, byte(len(fields)))
			return
		}
		w.part(element, rest, shape)
		return
	case reflect.Slice, reflect.Array:
		if field != Each || v.Type().Elem().Kind() == reflect.Uint8 {
			break
		}
		w.text = append(w.text, isList)
		w.number(uint64(v.Len()))
		for i := range v.Len() {
			w.part(v.Index(i), rest, shape)
		}
		return
	}
	// It has no such parts: what it says instead may be an error that shows it.
	w.text = append(w.text, isOther, byte(len(fields)))
	w.whole(v)
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
func (w *writer) shape(v reflect.Value) {
	v = bare(v)
	if !v.IsValid() {
		w.text = append(w.text, isNull)
		return
	}
	switch v.Kind() {
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			w.whole(v)
			return
		}
		w.text = append(w.text, isMap, nilness(v))
		w.number(uint64(v.Len()))
		for _, key := range sortedKeys(v) {
			w.string(key)
		}
	case reflect.Slice, reflect.Array:
		w.text = append(w.text, isList, nilness(v))
		w.number(uint64(v.Len()))
	case reflect.Struct:
		if v.Type() == quantity || v.Type() == moment {
			w.whole(v)
			return
		}
		w.text = append(w.text, isStruct)
		for _, at := range w.layouts.of(v.Type()).all {
			f := v.FieldByIndex(at)
			switch f.Kind() {
			case reflect.Struct: // whether it is written may be for its own fields to say
				w.shape(f)
			case reflect.Map, reflect.Slice, reflect.Pointer, reflect.Interface:
				empty := byte('0')
				if (f.Kind() == reflect.Map || f.Kind() == reflect.Slice) && f.Len() > 0 {
					empty = '1'
				}
				w.text = append(w.text, nilness(f), empty)
			default:
				w.text = append(w.text, zeroness(f))
			}
		}
	default:
		w.text = append(w.text, isLeaf, byte(v.Kind()), zeroness(v))
	}
}

func nilness(v reflect.Value) byte {
	if v.Kind() != reflect.Array && v.IsNil() {
		return 'N'
	}
	return 'V'
}

func zeroness(v reflect.Value) byte {
	if v.IsZero() {
		return 'Z'
	}
	return 'V'
}

// whole writes all of a value.
func (w *writer) whole(v reflect.Value) {
	if w.full() {
		return
	}
	boxed := v.Kind() == reflect.Interface
	v = bare(v)
	if !v.IsValid() {
		w.text = append(w.text, isNull)
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			w.text = append(w.text, isTrue)
		} else {
			w.text = append(w.text, isFalse)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.text = append(w.text, isInteger)
		w.number(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		w.text = append(w.text, isNatural)
		w.number(v.Uint())
	case reflect.Float32, reflect.Float64:
		w.text = append(w.text, isFloat)
		w.number(math.Float64bits(v.Float()))
	case reflect.String:
		w.text = append(w.text, isString)
		w.string(v.String())
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
			w.text = append(w.text, isBytes, nilness(v))
			w.string(string(v.Bytes()))
			return
		}
		w.text = append(w.text, isList, nilness(v))
		w.number(uint64(v.Len()))
		for i := range v.Len() {
			w.whole(v.Index(i))
		}
	case reflect.Map:
		w.text = append(w.text, isMap, nilness(v))
		w.number(uint64(v.Len()))
		if v.Type().Key().Kind() != reflect.String {
			w.pairs(v)
			return
		}
		for _, key := range sortedKeys(v) {
			w.string(key)
			w.whole(v.MapIndex(reflect.ValueOf(key).Convert(v.Type().Key())))
		}
	case reflect.Struct:
		w.structure(v, boxed)
	default: // nothing that is read from a client is of such a kind
		w.lost = true
	}
}

// pairs writes a map whose keys are no text: in the order of how they are written.
func (w *writer) pairs(v reflect.Value) {
	var all []string
	for each := v.MapRange(); each.Next(); {
		one := writer{layouts: w.layouts}
		one.whole(each.Key())
		one.whole(each.Value())
		all = append(all, string(one.text))
		w.lost = w.lost || one.lost
	}
	slices.Sort(all)
	for _, one := range all {
		w.string(one)
	}
}

// structure writes a struct, with the name of its type where it is boxed: where nothing
// else says what it is.
func (w *writer) structure(v reflect.Value, boxed bool) {
	switch v.Type() {
	case quantity:
		// Policies see how it is written, which two forms of it share.
		if v.CanInterface() {
			q := v.Interface().(resource.Quantity)
			w.text = append(w.text, isLeaf)
			w.string(q.String())
			return
		}
	case moment:
		if v.CanInterface() {
			at := v.Interface().(time.Time)
			_, offset := at.Zone()
			w.text = append(w.text, isLeaf)
			w.number(uint64(at.Unix()))
			w.number(uint64(at.Nanosecond()))
			w.number(uint64(int64(offset)))
			return
		}
	}
	w.text = append(w.text, isStruct)
	if boxed {
		w.string(v.Type().String())
	}
	for i := range v.NumField() {
		w.whole(v.Field(i))
	}
}

// form is how an object is had.
type form byte

const (
	formNone         form = '0'
	formUnstructured form = 'u'
	formTyped        form = 't'
)

// as is an object in the version of the request's kind: as the server's own type where
// there is one, since to take that apart costs less than to make another form of it.
func (r *Request) as(o runtime.Object, other func() (*unstructured.Unstructured, error), replaced bool) (v reflect.Value, f form, err error) {
	if o != nil && !replaced {
		switch _, is := o.(runtime.Unstructured); {
		case is:
		case o.GetObjectKind().GroupVersionKind() == r.GetKind():
			return reflect.ValueOf(o), formTyped, nil
		case r.Objects != nil:
			versioned, err := admission.ConvertToGVK(o, r.GetKind(), r.Objects)
			if err != nil {
				return v, formNone, err
			}
			return reflect.ValueOf(versioned), formTyped, nil
		}
	}
	u, err := other()
	if err != nil || u == nil {
		return v, formNone, err
	}
	return reflect.ValueOf(u.Object), formUnstructured, nil
}

// parts are those of one request, written down as they are asked for.
type parts struct {
	ctx     context.Context
	request *Request
	writer  writer
	// at is where the text of each of the Reads begins and ends; none yet where the end
	// is 0.
	at [][2]int
	// objects are the object and the old one, once they have been asked for.
	objects [2]struct {
		done  bool
		value reflect.Value
		form  form
	}
}

// text is one part; ok is false where it cannot be had.
func (p *parts) text(i int, read *Read) (text []byte, ok bool) {
	if at := p.at[i]; at[1] > 0 {
		return p.writer.text[at[0]:at[1]], true
	}
	begin := len(p.writer.text)
	if !p.write(read) || p.writer.full() {
		return nil, false
	}
	p.at[i] = [2]int{begin, len(p.writer.text)}
	return p.writer.text[begin:], true
}

func (p *parts) write(read *Read) (ok bool) {
	w, r := &p.writer, p.request
	switch read.Of {
	case OfObject, OfOldObject:
		o := &p.objects[read.Of]
		if !o.done {
			given, other, replaced := r.GetObject, r.Object, r.replaced
			if read.Of == OfOldObject {
				given, other, replaced = r.GetOldObject, r.OldObject, false
			}
			var err error
			if o.value, o.form, err = r.as(given(), other, replaced); err != nil {
				return false
			}
			o.done = true
		}
		w.text = append(w.text, byte(o.form))
		w.part(o.value, read.Fields, read.Shape)
	case OfNamespace:
		n, err := r.Namespace(p.ctx)
		switch {
		case apierrors.IsNotFound(err):
			w.text = append(w.text, isAbsent)
		case err != nil:
			return false
		default:
			w.text = append(w.text, isStruct)
			w.part(reflect.ValueOf(n), read.Fields, read.Shape)
		}
	case OfRequest:
		return p.writeRequest(read)
	default:
		return false
	}
	return true
}

// writeRequest writes what a request has besides its objects.
func (p *parts) writeRequest(read *Read) (ok bool) {
	if len(read.Fields) == 0 {
		return false
	}
	w, r := &p.writer, p.request
	switch read.Fields[0] {
	case "name":
		w.string(r.GetName())
	case "namespace":
		w.string(r.GetNamespace())
	case "dryRun":
		w.whole(reflect.ValueOf(r.IsDryRun()))
	case "options":
		w.whole(reflect.ValueOf(r.GetOperationOptions()))
	case "userInfo":
		u := r.GetUserInfo()
		if u == nil {
			w.text = append(w.text, isNull)
			return true
		}
		w.text = append(w.text, isStruct)
		one := "all of it"
		if len(read.Fields) > 1 {
			one = read.Fields[1]
		}
		switch one {
		case "username":
			w.string(u.GetName())
		case "uid":
			w.string(u.GetUID())
		case "groups":
			w.whole(reflect.ValueOf(u.GetGroups()))
		case "extra":
			w.whole(reflect.ValueOf(u.GetExtra()))
		default:
			w.string(u.GetName())
			w.string(u.GetUID())
			w.whole(reflect.ValueOf(u.GetGroups()))
			w.whole(reflect.ValueOf(u.GetExtra()))
		}
	default:
		return false
	}
	return true
}

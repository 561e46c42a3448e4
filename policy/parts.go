package policy

import (
	"context"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy/internal/part"
)

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

// absent and present say whether there is a namespace, or a user.
const absent, present = '-', '+'

// parts are those of one request, written down as they are asked for.
type parts struct {
	ctx     context.Context
	request *Request
	writer  part.Writer
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
		return p.writer.Text[at[0]:at[1]], true
	}
	begin := len(p.writer.Text)
	if !p.write(read) || p.writer.Full() {
		return nil, false
	}
	p.at[i] = [2]int{begin, len(p.writer.Text)}
	return p.writer.Text[begin:], true
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
		w.Text = append(w.Text, byte(o.form))
		w.Part(o.value, read.Fields, read.Shape)
	case OfNamespace:
		n, err := r.Namespace(p.ctx)
		switch {
		case apierrors.IsNotFound(err):
			w.Text = append(w.Text, absent)
		case err != nil:
			return false
		default:
			w.Text = append(w.Text, present)
			w.Part(reflect.ValueOf(n), read.Fields, read.Shape)
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
		w.String(r.GetName())
	case "namespace":
		w.String(r.GetNamespace())
	case "dryRun":
		w.Whole(reflect.ValueOf(r.IsDryRun()))
	case "options":
		w.Whole(reflect.ValueOf(r.GetOperationOptions()))
	case "userInfo":
		u := r.GetUserInfo()
		if u == nil {
			w.Text = append(w.Text, absent)
			return true
		}
		w.Text = append(w.Text, present)
		one := "all of it"
		if len(read.Fields) > 1 {
			one = read.Fields[1]
		}
		switch one {
		case "username":
			w.String(u.GetName())
		case "uid":
			w.String(u.GetUID())
		case "groups":
			w.Whole(reflect.ValueOf(u.GetGroups()))
		case "extra":
			w.Whole(reflect.ValueOf(u.GetExtra()))
		default:
			w.String(u.GetName())
			w.String(u.GetUID())
			w.Whole(reflect.ValueOf(u.GetGroups()))
			w.Whole(reflect.ValueOf(u.GetExtra()))
		}
	default:
		return false
	}
	return true
}

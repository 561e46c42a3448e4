package part

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// named is what JSON is read into, as another type: what is written by reflection.
type named map[string]any

func asNamed(v any) any {
	switch of := v.(type) {
	case map[string]any:
		if of == nil {
			return named(nil)
		}
		m := named{}
		for key, value := range of {
			m[key] = asNamed(value)
		}
		return m
	case []any:
		if of == nil {
			return of
		}
		l := make([]any, len(of))
		for i := range of {
			l[i] = asNamed(of[i])
		}
		return l
	}
	return v
}

// FuzzTree writes objects both ways.
func FuzzTree(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed, "a,b", false)
		f.Add(seed, "*,a", true)
		f.Add(seed, "a,*,b", seed%2 == 0)
		f.Add(seed, "", seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, seed uint64, path string, shape bool) {
		var fields []string
		for field := range strings.SplitSeq(path, ",") {
			if field == "*" {
				field = Each
			}
			if path != "" && len(fields) < 100 {
				fields = append(fields, field)
			}
		}
		o := anyTree(rand.New(rand.NewPCG(seed, 1)), 0)
		plain, other := Writer{Layouts: &Layouts{}, Most: 4 << 10}, Writer{Layouts: &Layouts{}, Most: 4 << 10}
		plain.Part(reflect.ValueOf(&o).Elem(), fields, shape)
		same := asNamed(o)
		other.Part(reflect.ValueOf(&same).Elem(), fields, shape)
		if string(plain.Text) != string(other.Text) || plain.Lost != other.Lost {
			t.Errorf("%#v at %q, shape %v:\n%q %v\n%q %v", o, fields, shape, plain.Text, plain.Lost, other.Text, other.Lost)
		}
	})
}

func anyTree(r *rand.Rand, depth int) any {
	kinds := 14
	if depth > 4 {
		kinds = 9
	}
	switch r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return r.Int64()
	case 3:
		return r.Float64()
	case 4:
		return map[string]any(nil)
	case 5:
		return []any(nil)
	case 6:
		return int32(r.Int32()) // which JSON is not read into, but a test may have
	case 7:
		return map[string]string{"a": "b"}
	case 8:
		return strings.Repeat("x", r.IntN(30))
	case 9, 10:
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = anyTree(r, depth+1)
		}
		return list
	}
	o := map[string]any{}
	for _, key := range []string{"a", "b", "c", ""} {
		if r.IntN(3) > 0 {
			o[key] = anyTree(r, depth+1)
		}
	}
	return o
}

package cel

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// What expressions can ask of CEL's own maps and lists they can ask of ours.
func TestTreeHasAllMethods(t *testing.T) {
	for _, native := range []any{map[string]any{"a": "b"}, []any{"a"}} {
		own := types.DefaultTypeAdapter.NativeToValue(native)
		ours := treeOf(own)
		if ours == own {
			t.Fatalf("%T is left as it is", native)
		}
		for i, of := 0, reflect.TypeOf(own); i < of.NumMethod(); i++ {
			if name := of.Method(i).Name; !reflect.ValueOf(ours).MethodByName(name).IsValid() {
				t.Errorf("%T has no %s", ours, name)
			}
		}
	}
}

// A tree answers as CEL's own values do, however often it is asked.
func TestTreeAnswersAsCEL(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		native := anyJSON(r, 0)
		own := types.DefaultTypeAdapter.NativeToValue(native)
		ours := treeOf(own)
		for range 3 {
			sameAnswers(t, own, ours)
		}
		if t.Failed() {
			t.Fatalf("of %#v", native)
		}
	}
}

func sameAnswers(t *testing.T, own, ours ref.Val) {
	t.Helper()
	same := func(what string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: %v, want %v", what, b, a)
		}
	}
	same("type", own.Type(), ours.Type())
	same("value", own.Value(), ours.Value())
	for _, pair := range [][2]ref.Val{{own, ours}, {ours, own}, {ours, ours}} {
		same("equal", own.Equal(own), pair[0].Equal(pair[1]))
	}
	for _, to := range []ref.Type{types.StringType, types.MapType, types.ListType, types.TypeType} {
		same("as "+to.TypeName(), types.IsError(own.ConvertToType(to)), types.IsError(ours.ConvertToType(to)))
	}
	if z, ok := own.(traits.Zeroer); ok {
		same("zero", z.IsZeroValue(), ours.(traits.Zeroer).IsZeroValue())
	}
	keys := []ref.Val{types.String("a"), types.String("b"), types.String("none"), types.Int(0), types.Int(1), types.Int(-1), types.Int(40), types.Uint(1), types.Double(0), types.Double(0.5), types.True, types.NullValue}
	if m, ok := own.(traits.Mapper); ok {
		our := ours.(traits.Mapper)
		same("size", m.Size(), our.Size())
		for _, key := range keys {
			want, there := m.Find(key)
			got, found := our.Find(key)
			same("found", there, found)
			same("contains", m.Contains(key), our.Contains(key))
			sameValue(t, want, got)
			sameValue(t, m.Get(key), our.Get(key))
		}
		for i := our.Iterator(); i.HasNext() == types.True; {
			key := i.Next()
			sameValue(t, m.Get(key), our.Get(key))
		}
		return
	}
	if l, ok := own.(traits.Lister); ok {
		our := ours.(traits.Lister)
		same("size", l.Size(), our.Size())
		for _, key := range keys {
			same("contains", l.Contains(key), our.Contains(key))
			sameValue(t, l.Get(key), our.Get(key))
		}
		sameValue(t, l.Add(l), our.Add(our))
		a, b := l.Iterator(), our.Iterator()
		for a.HasNext() == types.True {
			same("next", a.HasNext(), b.HasNext())
			sameValue(t, a.Next(), b.Next())
		}
		same("end", a.HasNext(), b.HasNext())
	}
}

func sameValue(t *testing.T, want, got ref.Val) {
	t.Helper()
	switch {
	case want == nil || got == nil:
		if want != got {
			t.Errorf("%v, want %v", got, want)
		}
	case types.IsError(want):
		if !types.IsError(got) || want.(*types.Err).String() != got.(*types.Err).String() {
			t.Errorf("%v, want %v", got, want)
		}
	case want.Equal(got) != types.True && want.Equal(want) == types.True || want.Type() != got.Type():
		t.Errorf("%v of %v, want %v of %v", got, got.Type(), want, want.Type())
	}
}

func anyJSON(r *rand.Rand, depth int) any {
	kinds := 8
	if depth > 3 {
		kinds = 5
	}
	switch r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return int64(r.IntN(3))
	case 3:
		return float64(r.IntN(3)) / 2
	case 4:
		return []string{"", "a", "b"}[r.IntN(3)]
	case 5:
		list := make([]any, []int{0, 1, 3, mostKept, mostKept + 1}[r.IntN(5)])
		for i := range list {
			list[i] = anyJSON(r, depth+2)
		}
		return list
	}
	o := map[string]any{}
	for _, key := range []string{"a", "b", "c"} {
		if r.IntN(3) > 0 {
			o[key] = anyJSON(r, depth+1)
		}
	}
	return o
}

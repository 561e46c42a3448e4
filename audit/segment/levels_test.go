package segment

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// What is packed is what the reader unpacks, and what it counts.
func TestPackedNumbersComeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		width, n := 1+r.IntN(31), 1+r.IntN(700)
		if r.IntN(3) == 0 {
			width = 1 + r.IntN(2)
		}
		all := make([]int32, n)
		for i := range all {
			all[i] = int32(r.Uint64N(1 << width))
		}
		if r.IntN(4) == 0 {
			all = slices.Repeat(all[:1], n)
		}
		packed := appendIndexes(nil, all)
		var got runs
		if err := got.parse(packed[1:], int(packed[0]), n, uint32(all[0])); err != nil {
			t.Fatalf("%d numbers of %d bits: %v", n, width, err)
		}
		for i, v := range got.all(nil) {
			if int32(v) != all[i] || int32(got.get(i)) != all[i] {
				t.Fatalf("number %d of %d of %d bits is %d, not %d", i, n, width, v, all[i])
			}
		}
	}
}

func TestLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	for range 500 {
		var l levels
		n, most := 1+r.IntN(2000), byte(1+r.IntN(2))
		all := make([]byte, n)
		for i := range all {
			if i > 0 && r.IntN(8) > 0 || r.IntN(5) == 0 {
				all[i] = all[0]
			} else {
				all[i] = byte(r.IntN(int(most) + 1))
			}
			l.add(all[i])
		}
		count := 0
		for _, v := range all {
			if v == most {
				count++
			}
		}
		var got runs
		if _, err := readLevels(&got, l.appendTo(nil, most), most, n, uint32(most)); err != nil {
			t.Fatal(err)
		}
		if l.n != n || l.count(most) != count || got.rank(n) != count {
			t.Fatalf("%d levels, %d and %d of %d, not %d and %d", l.n, l.count(most), got.rank(n), most, n, count)
		}
		for i, v := range got.all(nil) {
			if byte(v) != all[i] {
				t.Fatalf("level %d is %d, not %d", i, v, all[i])
			}
		}
	}
}

package cluster

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// schemas remembers fieldsOf, by reflect.Type.
var schemas sync.Map

// fieldsOf are the fields of a struct as JSON names them, those of inlined structs
// among them, each with its index.
func fieldsOf(t reflect.Type) map[string][]int {
	if known, ok := schemas.Load(t); ok {
		return known.(map[string][]int)
	}
	all := map[string][]int{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && (f.Anonymous || strings.Contains(options, "inline")):
			for inner, index := range fieldsOf(f.Type) {
				all[inner] = append([]int{i}, index...)
			}
		default:
			all[name] = []int{i}
		}
	}
	schemas.Store(t, all)
	return all
}

// suggest is the hint for a field that is not known: the one that was probably
// meant, or all there are.
func suggest(known map[string][]int, name string) string {
	names := slices.Sorted(maps.Keys(known))
	best, nearest := 1+len(name)/4, ""
	for _, candidate := range names {
		if d := distance(strings.ToLower(candidate), strings.ToLower(name)); d <= min(best, 3) && (nearest == "" || d < best) {
			best, nearest = d, candidate
		}
	}
	if nearest != "" {
		return fmt.Sprintf("did you mean %q?", nearest)
	}
	return "known here: " + strings.Join(names, ", ")
}

// distance is the least number of letters to insert, remove or replace to make a
// of b. Names longer than any field's are not compared.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

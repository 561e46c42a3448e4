package segment

import (
	"fmt"
	"slices"
	"strconv"
)

// Distinct yields the values of a column of Columns, from its dictionaries alone: each of
// them once or a few times, of a list the items, and NULL as empty where a column that is
// no list has it. Texts and code have dictionaries, but for those that hardly come again.
func (s *Segment) Distinct(column string, yield func(value string)) (err error) {
	defer rescue(&err, "read values of segment")
	leaf := leafOf(column)
	if leaf < 0 {
		return fmt.Errorf("read values of segment: it has no column %q", column)
	}
	for i := range s.groups {
		r := newRowGroup(&s.groups[i], i).column(leaf)
		nulls := maxLevels[leaf].definition > 0
		if nulls && r.bounds.nulls != nil {
			nulls = slices.ContainsFunc(r.bounds.nulls, func(n int64) bool { return n > 0 })
		}
		if nulls && maxLevels[leaf].repetition == 0 {
			yield("")
		}
		d := r.dict()
		if d.n == 0 && slices.Contains(r.bounds.empty, false) {
			return fmt.Errorf("%w: column %s has no dictionary", ErrApart, column)
		}
		for k := range d.n {
			if leaf == colCode {
				yield(strconv.FormatInt(d.values.numbers[k], 10))
			} else {
				yield(d.text(uint32(k)))
			}
		}
	}
	return nil
}

// leafOf is the leaf of a column that is no map; -1 where there is none.
func leafOf(name string) int {
	return slices.IndexFunc(newSchema().Columns(), func(path []string) bool {
		return path[0] == name && (len(path) == 1 || path[1] == "list")
	})
}

package v1alpha1

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// subscripts matches those of items in the path of a field.
var subscripts = regexp.MustCompile(`\[\d+\]`)

// suggest returns the hint for a field name that is not known below prefix: the
// name that was probably meant, looked for first at the same level, then
// anywhere in the file, first with the same letters, then nearly so.
func suggest(root reflect.Type, prefix, name string) string {
	prefix = subscripts.ReplaceAllString(prefix, "[]")
	var here, elsewhere []string
	for _, p := range fieldPaths(root, "") {
		if parent, _ := splitPath(p); parent == prefix {
			here = append(here, p)
		} else {
			elsewhere = append(elsewhere, p)
		}
	}

	if p := join(prefix, name); slices.Contains(elsewhere, p) { // name is "audit.policyFile"
		parent, last := splitPath(p)
		return fmt.Sprintf("write %q below %q, indented", last, parent)
	}
	for _, paths := range [][]string{withinDistance(here, name, 0), withinDistance(elsewhere, name, 0),
		withinDistance(here, name, tolerance(name)), withinDistance(elsewhere, name, tolerance(name))} {
		if len(paths) > 0 {
			return didYouMean(paths)
		}
	}
	var names []string
	for _, p := range here {
		if _, last := splitPath(p); p != "apiVersion" && p != "kind" {
			names = append(names, last)
		}
	}
	return "known here: " + strings.Join(names, ", ")
}

// splitPath splits "a.b.c" into "a.b" and "c".
func splitPath(path string) (parent, name string) {
	i := strings.LastIndexByte(path, '.')
	return path[:max(0, i)], path[i+1:]
}

// withinDistance returns the paths whose last name is nearest to name, where
// that is at most limit letters away.
func withinDistance(paths []string, name string, limit int) []string {
	var nearest []string
	for _, p := range paths {
		_, last := splitPath(p)
		switch d := editDistance(fold(last), fold(name)); {
		case d < limit || d == limit && nearest == nil:
			nearest, limit = []string{p}, d
		case d == limit:
			nearest = append(nearest, p)
		}
	}
	return nearest
}

// tolerance is how many letters of a name may be wrong for it to be taken for another.
func tolerance(name string) int { return min(1+len(name)/4, 3) }

// fold makes dataDir, data-dir and DATA_DIR one name.
func fold(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
}

func didYouMean(paths []string) string {
	quoted := make([]string, len(paths))
	for i, p := range paths {
		quoted[i] = fmt.Sprintf("%q", p)
	}
	s := quoted[len(quoted)-1]
	if len(quoted) > 1 {
		s = strings.Join(quoted[:len(quoted)-1], ", ") + " or " + s
	}
	return "did you mean " + s + "?"
}

// editDistance is the least number of letters to insert, remove, replace or
// swap with a neighbour that makes a of b. Names longer than any field's are
// not compared: a file may hold a key of a megabyte.
func editDistance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return max(len(a), len(b))
	}
	before, previous := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(previous[j]+1, row[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, previous = previous, row
	}
	return previous[len(b)]
}

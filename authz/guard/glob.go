package guard

import (
	"slices"
	"strings"

	globs "github.com/gatehouse-io/gatehouse/internal/glob"
)

// glob is a pattern in which each * stands for any characters, none included.
type glob string

// exact reports that the pattern is a plain name.
func (g glob) exact() bool { return strings.IndexByte(string(g), '*') < 0 }

// prefix is what every match begins with.
func (g glob) prefix() string {
	before, _, _ := strings.Cut(string(g), "*")
	return before
}

func (g glob) match(name string) bool { return globs.Match(string(g), name) }

// names is a set of names and patterns. The zero value limits nothing.
type names struct {
	// plain are the names without a star, sorted.
	plain []string

	// globs are the others.
	globs []glob
}

func newNames(patterns []string) names {
	var n names
	for _, p := range patterns {
		if g := glob(strings.Clone(p)); g.exact() {
			n.plain = append(n.plain, string(g))
		} else {
			n.globs = append(n.globs, g)
		}
	}
	slices.Sort(n.plain)
	return n
}

// limited reports that the set does not hold every name there is.
func (n *names) limited() bool { return len(n.plain) > 0 || len(n.globs) > 0 }

// has reports that a name is in the set.
func (n *names) has(name string) bool {
	if _, found := slices.BinarySearch(n.plain, name); found {
		return true
	}
	for _, g := range n.globs {
		if g.match(name) {
			return true
		}
	}
	return false
}

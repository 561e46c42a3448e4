package replay

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
)

// rulesFor are few rules that allow exactly what is needed in one scope.
//
// A rule allows the product of its verbs, resources and names, so things become one
// rule only where each combination is needed. The fewest such rules are an exact cover by
// bicliques, which nobody computes; what is made here is the fewest of three ways.
func rulesFor(needs map[need]*evidence) []GeneratedRule {
	// The names for which a verb of a resource is needed; "" among them is all names.
	names := map[need]map[string]bool{}
	for n := range needs {
		name := n.name
		n.name, n.namespace = "", ""
		if names[n] == nil {
			names[n] = map[string]bool{}
		}
		names[n][name] = true
	}
	// What has the same names and API group can become one rule.
	type block struct{ names, group, paths string }
	tables := map[block]tableOf{}
	texts := map[string][]string{}
	for n, set := range names {
		b, row := block{group: n.group}, n.resource
		if n.path != "" {
			b.paths, row = "paths", n.path
		}
		if !set[""] {
			list := slices.Sorted(maps.Keys(set))
			b.names = fmt.Sprintf("%q", list)
			texts[b.names] = list
		}
		if tables[b] == nil {
			tables[b] = tableOf{}
		}
		tables[b].add(row, n.verb)
	}
	var rules []GeneratedRule
	at := map[string]int{} // rules by all but their API groups
	for _, b := range slices.SortedFunc(maps.Keys(tables), func(x, y block) int {
		return cmp.Or(cmp.Compare(x.paths, y.paths), cmp.Compare(x.group, y.group), cmp.Compare(x.names, y.names))
	}) {
		for _, r := range tables[b].rectangles() {
			rule := rbacv1.PolicyRule{Verbs: r.columns}
			if b.paths != "" {
				rule.NonResourceURLs = r.rows
				rules = append(rules, GeneratedRule{PolicyRule: rule})
				continue
			}
			rule.APIGroups, rule.Resources, rule.ResourceNames = []string{b.group}, r.rows, texts[b.names]
			key := fmt.Sprintf("%q %q %s", r.columns, r.rows, b.names)
			if have, ok := at[key]; ok {
				rules[have].APIGroups = append(rules[have].APIGroups, b.group)
				continue
			}
			at[key] = len(rules)
			rules = append(rules, GeneratedRule{PolicyRule: rule})
		}
	}
	for i := range rules {
		rules[i].prove(needs)
	}
	return rules
}

// prove takes down what was seen of a rule.
func (r *GeneratedRule) prove(needs map[need]*evidence) {
	r.ByVerb = map[string]int64{}
	for n, e := range needs {
		if !slices.Contains(r.Verbs, n.verb) {
			continue
		}
		if n.path != "" {
			if !slices.Contains(r.NonResourceURLs, n.path) {
				continue
			}
		} else if !slices.Contains(r.APIGroups, n.group) || !slices.Contains(r.Resources, n.resource) || len(r.ResourceNames) > 0 && !slices.Contains(r.ResourceNames, n.name) {
			continue
		}
		r.Requests += e.requests
		r.ByVerb[n.verb] += e.requests
		if e.last.After(r.Last) {
			r.Last = e.last
		}
	}
}

// tableOf is which verbs, its columns, are needed of which resources, its rows.
type tableOf map[string]map[string]bool

func (t tableOf) add(row, column string) {
	if t[row] == nil {
		t[row] = map[string]bool{}
	}
	t[row][column] = true
}

// rectangle is rows and columns of which every combination is needed.
type rectangle struct{ rows, columns []string }

// rectangles cover the table and nothing else.
func (t tableOf) rectangles() []rectangle {
	byRow := t.alike()
	byColumn := t.turned().alike()
	for i := range byColumn {
		byColumn[i].rows, byColumn[i].columns = byColumn[i].columns, byColumn[i].rows
	}
	best := byRow
	for _, other := range [][]rectangle{byColumn, t.greedy()} {
		if len(other) < len(best) {
			best = other
		}
	}
	for i := range best {
		slices.Sort(best[i].rows)
		sortVerbs(best[i].columns)
	}
	slices.SortFunc(best, func(a, b rectangle) int {
		return cmp.Or(slices.Compare(a.rows, b.rows), slices.Compare(a.columns, b.columns))
	})
	return best
}

// alike makes one rectangle of all rows with the same columns.
func (t tableOf) alike() (all []rectangle) {
	at := map[string]int{}
	for _, row := range slices.Sorted(maps.Keys(t)) {
		columns := slices.Sorted(maps.Keys(t[row]))
		key := fmt.Sprintf("%q", columns)
		if have, ok := at[key]; ok {
			all[have].rows = append(all[have].rows, row)
			continue
		}
		at[key] = len(all)
		all = append(all, rectangle{[]string{row}, columns})
	}
	return all
}

func (t tableOf) turned() tableOf {
	turned := tableOf{}
	for row, columns := range t {
		for column := range columns {
			turned.add(column, row)
		}
	}
	return turned
}

// mostRows is how many different rows the greedy way is tried with.
const mostRows = 48

// greedy takes the rectangle that covers most of what is left, again and again. They may
// overlap.
func (t tableOf) greedy() []rectangle {
	rows := t.alike()
	if len(rows) > mostRows {
		return rows
	}
	var candidates []rectangle
	for i := range rows {
		for j := i; j < len(rows); j++ {
			columns := slices.DeleteFunc(slices.Clone(rows[i].columns), func(c string) bool { return !slices.Contains(rows[j].columns, c) })
			if len(columns) == 0 {
				continue
			}
			r := rectangle{columns: columns}
			for _, row := range slices.Sorted(maps.Keys(t)) {
				if !slices.ContainsFunc(columns, func(c string) bool { return !t[row][c] }) {
					r.rows = append(r.rows, row)
				}
			}
			candidates = append(candidates, r)
		}
	}
	left := map[[2]string]bool{}
	for row, columns := range t {
		for column := range columns {
			left[[2]string{row, column}] = true
		}
	}
	var chosen []rectangle
	for len(left) > 0 {
		most, at := 0, -1
		for i, r := range candidates {
			covers := 0
			for _, row := range r.rows {
				for _, column := range r.columns {
					if left[[2]string{row, column}] {
						covers++
					}
				}
			}
			if covers > most {
				most, at = covers, i
			}
		}
		r := candidates[at]
		chosen = append(chosen, rectangle{slices.Clone(r.rows), slices.Clone(r.columns)})
		for _, row := range r.rows {
			for _, column := range r.columns {
				delete(left, [2]string{row, column})
			}
		}
	}
	return chosen
}

// verbOrder is the order in which people write verbs.
var verbOrder = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

func sortVerbs(verbs []string) {
	place := func(verb string) int {
		if at := slices.Index(verbOrder, verb); at >= 0 {
			return at
		}
		return len(verbOrder)
	}
	slices.SortFunc(verbs, func(a, b string) int { return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b)) })
}

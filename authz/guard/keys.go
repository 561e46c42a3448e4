package guard

// keys are where in a dimension the rule stands. wild says that no key finds it
// there. A rule that is in a dimension neither way is never about a request that
// has this dimension: one about paths, for a resource.
func (r *rule) keys(d dimension) (keys []key, wild bool) {
	switch d {
	case bySubject:
		if r.subjects.all {
			return nil, true
		}
		for _, user := range r.subjects.users {
			keys = append(keys, key{name: user})
		}
		for _, group := range r.subjects.groups {
			keys = append(keys, key{kind: groupKey, name: group})
		}
		for _, namespace := range r.subjects.accounts {
			keys = append(keys, key{kind: accountKey, name: namespace})
		}
		return keys, false
	case byVerb:
		return distinct(r.verbs), r.verbs == nil
	case byPath:
		if !r.onPaths {
			return nil, false
		}
		return r.paths.keys()
	}
	if !r.onResources {
		return nil, false
	}
	switch d {
	case byGroup:
		return distinct(r.groups), r.groups == nil
	case byResource:
		seen := map[resource]bool{}
		for _, p := range r.resources {
			if !seen[p] {
				seen[p] = true
				keys = append(keys, key{name: p.name, sub: p.sub})
			}
		}
		return keys, r.resources == nil
	case byNamespace:
		return r.namespaces.keys()
	default:
		return r.objects.keys()
	}
}

// keys are one for each name and pattern; wild says that they do not find all.
func (n *names) keys() (keys []key, wild bool) {
	seen := map[string]bool{}
	for _, g := range n.globs {
		prefix := g.prefix()
		if prefix == "" {
			return nil, true
		}
		if !seen[prefix] {
			seen[prefix] = true
			keys = append(keys, key{kind: prefixKey, name: prefix})
		}
	}
	return append(keys, distinct(n.plain)...), !n.limited()
}

// distinct makes a key of each name, once.
func distinct(list []string) []key {
	var keys []key
	seen := make(map[string]bool, len(list))
	for _, name := range list {
		if !seen[name] {
			seen[name] = true
			keys = append(keys, key{name: name})
		}
	}
	return keys
}

package catalog

import (
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Facts are which values the events of a segment have.
type Facts struct {
	Users      Set `json:"users"` // authenticated or impersonated
	Groups     Set `json:"groups"`
	Verbs      Set `json:"verbs"`
	Namespaces Set `json:"namespaces"`
	Resources  Set `json:"resources"` // GROUP/RESOURCE/SUBRESOURCE
	Codes      Set `json:"codes"`
	Decisions  Set `json:"decisions"`
	IPs        Set `json:"ips"`
	UserAgents Set `json:"userAgents"`
	Stages     Set `json:"stages"`
	Sources    Set `json:"sources"`
}

// Fact names a field of Facts.
type Fact int

// The fields of Facts.
const (
	Users Fact = iota
	Groups
	Verbs
	Namespaces
	Resources
	Codes
	Decisions
	IPs
	UserAgents
	Stages
	Sources
	facts // how many there are
)

// sets are the fields by their names.
func (f *Facts) sets() [facts]*Set {
	return [facts]*Set{&f.Users, &f.Groups, &f.Verbs, &f.Namespaces, &f.Resources, &f.Codes, &f.Decisions, &f.IPs, &f.UserAgents, &f.Stages, &f.Sources}
}

// Learn adds a value of a fact, without an event that has it: of a segment that is joined
// of others. An empty user is one who was not authenticated.
func (b *Builder) Learn(of Fact, value string) { b.facts[of].add(value) }

// ResourceFact is what an event is about as a value of Facts.Resources.
func ResourceFact(group, resource, subresource string) string {
	return group + "/" + resource + "/" + subresource
}

// May reports whether an event of the segment can be meant.
func (f *Facts) May(filter *audit.Filter) bool {
	return f.Users.may(filter.Users) && f.Groups.may(filter.Groups) && f.Verbs.may(filter.Verbs) &&
		f.Namespaces.may(filter.Namespaces) && f.Decisions.may(filter.Decisions) && f.IPs.may(filter.IPs) &&
		f.UserAgents.may(filter.UserAgents) && f.Stages.may(filter.Stages) && f.Sources.may(filter.Sources) &&
		f.Codes.mayBy(filter.Codes, func(pattern, value string) bool {
			code, err := strconv.ParseInt(value, 10, 32)
			return err != nil || audit.MatchesCode(pattern, int32(code))
		}) &&
		f.Resources.mayBy(filter.Resources, func(pattern, value string) bool {
			group, rest, _ := strings.Cut(value, "/")
			resource, sub, _ := strings.Cut(rest, "/")
			return audit.MatchesResource(pattern, group, resource, sub)
		})
}

// Set is some values, or something that may say more than there are.
type Set struct {
	// Values are all of them, sorted, where they are few.
	Values []string `json:"values,omitempty"`
	// Bloom is a filter of Values that are many.
	Bloom []byte `json:"bloom,omitempty"`
	// Any says that there are too many for a filter.
	Any bool `json:"any,omitempty"`
}

const (
	fewValues   = 256
	mostValues  = 1 << 16
	bloomBits   = 10 // for each value: one in a hundred is found that is not there
	bloomHashes = 7
)

func (s *Set) may(patterns []string) bool { return s.mayBy(patterns, audit.MatchesText) }

func (s *Set) mayBy(patterns []string, matches func(pattern, value string) bool) bool {
	if len(patterns) == 0 || s.Any {
		return true
	}
	for _, p := range patterns {
		if s.Bloom != nil {
			if strings.Contains(p, "*") || s.inBloom(p) {
				return true
			}
			continue
		}
		if slices.ContainsFunc(s.Values, func(v string) bool { return matches(p, v) }) {
			return true
		}
	}
	return false
}

// places calls with the bits of a value, until one is refused.
func (s *Set) places(value string, bit func(index int, mask byte) bool) bool {
	h := fnv.New64a()
	h.Write([]byte(value))
	sum := h.Sum64()
	a, b := uint32(sum), uint32(sum>>32)|1
	for i := range uint32(bloomHashes) {
		n := (a + i*b) % uint32(len(s.Bloom)*8)
		if !bit(int(n/8), 1<<(n%8)) {
			return false
		}
	}
	return true
}

func (s *Set) inBloom(value string) bool {
	return len(s.Bloom) > 0 && s.places(value, func(i int, mask byte) bool { return s.Bloom[i]&mask != 0 })
}

// gathering is a Set that is being made.
type gathering struct {
	values map[string]struct{}
	any    bool
}

func (g *gathering) add(value string) {
	if g.any {
		return
	}
	if g.values == nil {
		g.values = map[string]struct{}{}
	}
	if _, ok := g.values[value]; !ok {
		if len(g.values) >= mostValues {
			g.any, g.values = true, nil
			return
		}
		g.values[strings.Clone(value)] = struct{}{}
	}
}

func (g *gathering) set() Set {
	switch {
	case g.any:
		return Set{Any: true}
	case len(g.values) <= fewValues:
		return Set{Values: slices.Sorted(maps.Keys(g.values))}
	}
	s := Set{Bloom: make([]byte, (len(g.values)*bloomBits+7)/8)}
	for v := range g.values {
		s.places(v, func(i int, mask byte) bool { s.Bloom[i] |= mask; return true })
	}
	return s
}

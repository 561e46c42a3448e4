package audit

import (
	"slices"
	"strings"
	"time"
)

// Filter says which events are meant. A list matches where one of its values does; an
// empty one matches everything; all fields must match. Values are exact, but for those
// with a * at the beginning, the end, or both, which match by suffix, prefix or part.
type Filter struct {
	// From and To bound Event.Time: From ≤ Time < To. Zero is no bound.
	From, To time.Time

	IDs    []string
	Stages []string
	// Users match the authenticated user or the impersonated one, Groups likewise.
	Users, Groups []string
	Verbs         []string
	// Resources are RESOURCE, RESOURCE.GROUP, or either with /SUBRESOURCE. One without
	// a group means every group; one without a subresource means none of its
	// subresources, and pods/* means all of them.
	Resources  []string
	Namespaces []string
	Names      []string
	// Codes are three digits, or a class such as 4xx.
	Codes []string
	// Decisions are allow and forbid.
	Decisions  []string
	IPs        []string
	UserAgents []string
	// URIContains is a part of the request's URI.
	URIContains string
	Sources     []string
}

// Matches reports whether an event is meant.
func (f *Filter) Matches(e *Event) bool {
	switch {
	case !f.From.IsZero() && e.Time.Before(f.From), !f.To.IsZero() && !e.Time.Before(f.To):
		return false
	case !matches(f.IDs, e.ID), !matches(f.Stages, e.Stage), !matches(f.Verbs, e.Verb),
		!matches(f.Namespaces, e.Namespace), !matches(f.Names, e.Name), !matches(f.UserAgents, e.UserAgent),
		!matches(f.Sources, e.Source), !matches(f.Decisions, e.Decision()):
		return false
	case !matches(f.Users, e.User) && (e.AsUser == "" || !matches(f.Users, e.AsUser)):
		return false
	case len(f.Groups) > 0 && !matchesAny(f.Groups, e.Groups) && !matchesAny(f.Groups, e.AsGroups):
		return false
	case len(f.IPs) > 0 && !matchesAny(f.IPs, e.SourceIPs):
		return false
	case len(f.Codes) > 0 && !slices.ContainsFunc(f.Codes, func(c string) bool { return MatchesCode(c, e.Code) }):
		return false
	case len(f.Resources) > 0 && !slices.ContainsFunc(f.Resources, func(r string) bool {
		return MatchesResource(r, e.APIGroup, e.Resource, e.Subresource)
	}):
		return false
	}
	return f.URIContains == "" || strings.Contains(e.URI, f.URIContains)
}

func matches(patterns []string, value string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return MatchesText(p, value) })
}

func matchesAny(patterns, values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return matches(patterns, v) })
}

// MatchesText reports whether a value is the one that a pattern of a Filter means.
func MatchesText(pattern, value string) bool {
	rest, suffix := strings.CutPrefix(pattern, "*")
	if rest == "" {
		return suffix || value == ""
	}
	rest, prefix := strings.CutSuffix(rest, "*")
	switch {
	case suffix && prefix:
		return strings.Contains(value, rest)
	case suffix:
		return strings.HasSuffix(value, rest)
	case prefix:
		return strings.HasPrefix(value, rest)
	}
	return value == rest
}

// MatchesCode reports whether a status is the one of a pattern such as 403 or 4xx.
func MatchesCode(pattern string, code int32) bool {
	if len(pattern) != 3 || code < 100 || code > 999 {
		return false
	}
	for i, divisor := 0, int32(100); i < 3; i, divisor = i+1, divisor/10 {
		if c := pattern[i]; c != 'x' && c != 'X' && int32(c-'0') != code/divisor%10 {
			return false
		}
	}
	return true
}

// MatchesResource reports whether a pattern of Filter.Resources means a resource.
func MatchesResource(pattern, group, resource, subresource string) bool {
	name, sub, _ := strings.Cut(pattern, "/")
	name, inGroup, grouped := strings.Cut(name, ".")
	if grouped && inGroup != group {
		return false
	}
	return MatchesText(name, resource) && MatchesText(sub, subresource)
}

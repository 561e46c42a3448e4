package rego

import (
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-io/gatehouse/policy"
)

// A path is fields from input on, each behind a pathMark but for the first. inInput and
// inReview are the two that are never read as a whole.
const (
	pathMark = "\x01"
	inInput  = ""
	inReview = "review"
)

type paths map[string]bool

// alias is what a value may be: parts of the input, something that was made with such
// parts inside, a text, or anything that says nothing of the input that has not been read
// already. It only grows.
type alias struct {
	paths paths
	// texts are constants; other says that it may be something else as well.
	texts map[string]bool
	other bool
	// inside is what something made may have in it, keys included; nil for nothing made.
	inside *alias
	// melted says that what is inside decides the form of what was made of it: a set, where
	// equal elements are one, or a text.
	melted bool
}

// mostNested bounds how deep something made is known.
const mostNested = 6

// unknown is what says nothing of the input that is not read elsewhere.
func unknown() *alias { return &alias{other: true} }

// made is something with values inside.
func (f *follower) made(melted bool, of ...*alias) *alias {
	a := &alias{melted: melted, inside: &alias{}}
	for _, one := range of {
		f.join(a.inside, one)
	}
	return a
}

// content is any of the values inside.
func (a *alias) content() *alias {
	if a.inside == nil {
		return &alias{other: a.other}
	}
	return a.inside
}

// join has one alias be another as well, and reports whether that is new.
func (f *follower) join(a, b *alias) bool { return f.joinAt(a, b, 0) }

func (f *follower) joinAt(a, b *alias, depth int) bool {
	grown := into(&a.paths, b.paths)
	grown = into(&a.texts, b.texts) || grown
	grown = raise(&a.other, b.other) || grown
	grown = raise(&a.melted, b.melted) || grown
	switch {
	case b.inside == nil:
	case depth == mostNested:
		f.readWhole(b.inside)
		grown = raise(&a.other, true) || grown
	default:
		if a.inside == nil {
			a.inside, grown = &alias{}, true
		}
		grown = f.joinAt(a.inside, b.inside, depth+1) || grown
	}
	return grown
}

// constants are the texts that the value is one of; nil where it may be anything else.
func (a *alias) constants() []string {
	if a.other || a.inside != nil || len(a.paths) > 0 || len(a.texts) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(a.texts))
}

// empty reports whether nothing is known that the value may be.
func (a *alias) empty() bool {
	return !a.other && a.inside == nil && len(a.paths)+len(a.texts) == 0
}

func into[M ~map[K]bool, K comparable](to *M, from M) (grown bool) {
	for key := range from {
		if !(*to)[key] {
			if *to == nil {
				*to = M{}
			}
			(*to)[key], grown = true, true
		}
	}
	return grown
}

func raise(to *bool, by bool) bool {
	if *to || !by {
		return false
	}
	*to = true
	return true
}

// parts of the review: those that are part of a request, and those that are the same
// wherever the kind and the operation are.
var (
	reviewParts = []string{"object", "oldObject", "namespaceObject", "name", "namespace", "dryRun", "options", "userInfo"}
	reviewFixed = []string{"uid", "kind", "resource", "subResource", "requestKind", "requestResource", "requestSubResource", "operation"}
)

// field adds a field of the path to an alias.
func (f *follower) field(to *alias, path, name string) {
	switch {
	case path == inInput && name == inReview:
		into(&to.paths, paths{inReview: true})
	case path == inInput && name == "parameters", path == inReview && slices.Contains(reviewFixed, name):
		to.other = true
	case path == inInput, path == inReview && !slices.Contains(reviewParts, name):
		f.fail("input." + strings.ReplaceAll(strings.TrimPrefix(path+pathMark+name, pathMark), pathMark, ".") + " is not known")
	case path == inReview || nameable(name):
		f.deeper(to, path, name)
	default:
		f.each(to, path)
	}
}

// nameable reports whether a field of content is found under its name alone: others may
// have become that name when what is no UTF-8 was replaced, or mark paths.
func nameable(name string) bool { return !strings.ContainsAny(name, "\ufffd\x00\x01") }

// each adds every element or value below the path.
func (f *follower) each(to *alias, path string) {
	f.require(path, shape)
	if path != inInput && path != inReview {
		f.deeper(to, path, policy.Each)
	}
}

// deeper takes a step; where the path gets too long, all that is there counts.
func (f *follower) deeper(to *alias, path, step string) {
	if strings.Count(path, pathMark) >= deepest {
		f.require(path, whole)
		to.other = true
		return
	}
	into(&to.paths, paths{path + pathMark + step: true})
}

// Package glob matches names against patterns in which each * stands for any
// characters, none included. Nothing else in a pattern is special, and a pattern
// without a star is that very name.
//
//	glob.Match("team-*", "team-a") // true
package glob

import "strings"

// Match reports whether the pattern matches the whole name. It compares without
// recursion: after a mismatch it goes back to the last star alone, so that a
// hostile pattern costs at most its length times the name's.
func Match(pattern, name string) bool {
	star, resume := -1, 0
	at := 0
	for i := 0; i < len(name); {
		switch {
		case at < len(pattern) && pattern[at] == '*':
			star, resume = at, i
			at++
		case at < len(pattern) && pattern[at] == name[i]:
			at++
			i++
		case star >= 0:
			resume++
			at, i = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[at:], "*") == ""
}

// Any reports whether one of the patterns matches.
func Any(patterns []string, name string) bool {
	for _, p := range patterns {
		if Match(p, name) {
			return true
		}
	}
	return false
}

package segment

import "bytes"

// levels are the repetition or definition levels of the entries of a page. Those of most
// pages are all the same, and only counted.
type levels struct {
	n     int
	first byte
	all   []byte // where they differ
}

func (l *levels) add(level byte) {
	switch {
	case len(l.all) > 0:
		l.all = append(l.all, level)
	case l.n == 0:
		l.first = level
	case level != l.first:
		for range l.n {
			l.all = append(l.all, l.first)
		}
		l.all = append(l.all, level)
	}
	l.n++
}

// count is how many of them are a level.
func (l *levels) count(level byte) int {
	switch {
	case len(l.all) > 0:
		return bytes.Count(l.all, []byte{level})
	case l.first == level:
		return l.n
	}
	return 0
}

func (l *levels) reset() { l.n, l.all = 0, l.all[:0] }

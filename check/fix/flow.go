package fix

import "strings"

// span is a stretch of bytes.
type span struct{ from, to int }

// quoteEnd is the offset behind a quoted text that begins at an offset.
func quoteEnd(data []byte, at int) (int, bool) {
	quote := data[at]
	for i := at + 1; i < len(data); i++ {
		switch {
		case quote == '"' && data[i] == '\\':
			i++
		case data[i] != quote:
		case quote == '\'' && i+1 < len(data) && data[i+1] == '\'':
			i++
		default:
			return i + 1, true
		}
	}
	return 0, false
}

// skip is the offset behind the comment or quoted text that begins at an offset; the
// offset itself where none does. before is the byte in front of it.
func skip(data []byte, at int, before byte) (int, bool) {
	switch c := data[at]; {
	case c == '#' && strings.IndexByte(" \t\r\n", before) >= 0:
		for at < len(data) && data[at] != '\n' {
			at++
		}
	case (c == '"' || c == '\'') && strings.IndexByte(" \t\r\n,:[{", before) >= 0:
		return quoteEnd(data, at)
	}
	return at, true
}

// flowEnd is the offset behind the brace or bracket that closes the one at an offset.
func flowEnd(data []byte, open int) (int, bool) {
	depth := 0
	for i := open; i < len(data); i++ {
		before := byte(' ')
		if i > open {
			before = data[i-1]
		}
		end, ok := skip(data, i, before)
		if !ok {
			return 0, false
		}
		if end > i {
			i = end - 1
			continue
		}
		switch data[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, true
			}
		}
	}
	return 0, false
}

// flowItems are the entries between braces or brackets, without the space and the
// comments around them.
func flowItems(data []byte, from, to int) (all []span) {
	depth := 0
	now := span{-1, -1}
	end := func() {
		if now.from >= 0 {
			all = append(all, now)
		}
		now = span{-1, -1}
	}
	for i := from; i < to; i++ {
		last, ok := skip(data, i, data[i-1])
		if !ok {
			return nil
		}
		if last > i {
			if data[i] != '#' {
				if now.from < 0 {
					now.from = i
				}
				now.to = last
			}
			i = last - 1
			continue
		}
		switch c := data[i]; {
		case c == ',' && depth == 0:
			end()
			continue
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case strings.IndexByte(" \t\r\n", c) >= 0:
			continue
		}
		if now.from < 0 {
			now.from = i
		}
		now.to = i + 1
	}
	end()
	return all
}

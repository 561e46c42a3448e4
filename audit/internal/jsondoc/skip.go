package jsondoc

// Skip finds where the value ends that begins at i, within so many arrays and objects,
// and accepts what Parse accepts. It makes no nodes: who knows the shape of a document
// reads it by hand, and hands to a Document what it cannot read.
func Skip(data []byte, i, depth int) (end int, ok bool) {
	if i >= len(data) {
		return i, false
	}
	var fault string
	switch data[i] {
	case '"':
		end, _, fault = str(data, i)
	case '{', '[':
		if depth++; depth > maxDepth {
			return i, false
		}
		return skipMembers(data, i, depth)
	case 't':
		end, fault = literal(data, i, "true")
	case 'f':
		end, fault = literal(data, i, "false")
	case 'n':
		end, fault = literal(data, i, "null")
	default:
		end, fault = number(data, i)
	}
	return end, fault == ""
}

// skipMembers is Skip of an object or an array.
func skipMembers(data []byte, i, depth int) (end int, ok bool) {
	object := data[i] == '{'
	closing := data[i] + 2 // of both in ASCII
	if i = space(data, i+1); i < len(data) && data[i] == closing {
		return i + 1, true
	}
	for {
		i = space(data, i)
		if object {
			if i >= len(data) || data[i] != '"' {
				return i, false
			}
			var fault string
			if i, _, fault = str(data, i); fault != "" {
				return i, false
			}
			if i = space(data, i); i >= len(data) || data[i] != ':' {
				return i, false
			}
			i = space(data, i+1)
		}
		if i, ok = Skip(data, i, depth); !ok {
			return i, false
		}
		if i = space(data, i); i >= len(data) {
			return i, false
		}
		switch data[i] {
		case closing:
			return i + 1, true
		case ',':
			i++
		default:
			return i, false
		}
	}
}

// Space is where the white space ends that begins at i.
func Space(data []byte, i int) int { return space(data, i) }

// Quoted finds where the string ends that begins with the quote at i. Its text is what
// stands between the quotes; where escaped, it is to be unescaped (Unescape).
func Quoted(data []byte, i int) (end int, escaped, ok bool) {
	if i >= len(data) || data[i] != '"' {
		return i, false, false
	}
	end, escaped, fault := str(data, i)
	return end, escaped, fault == ""
}

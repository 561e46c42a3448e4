package record

// kept is what a Decoder remembers of the texts it has seen: the users, groups, verbs
// and agents of a cluster are few, and its events are many. When it is full it is
// forgotten, so that its memory is bounded whatever comes.
type kept struct {
	texts  map[string]string
	lists  map[string][]string
	extras map[string]map[string][]string
	// Parts of events, by their bytes.
	users   map[string]*someone
	notes   map[string]*notes
	answers map[string]answer
}

const (
	mostKept    = 4096 // entries of each kind
	longestText = 256  // bytes; longer ones do not come again
	longestList = 1024
	longestPart = 1024
)

func (k *kept) text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := k.texts[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(s) <= longestText {
		remember(&k.texts, s, s)
	}
	return s
}

func (k *kept) list(raw []byte, list []string) {
	if len(raw) <= longestList {
		remember(&k.lists, string(raw), list)
	}
}

func (k *kept) extra(raw []byte, m map[string][]string) {
	if len(raw) <= longestList {
		remember(&k.extras, string(raw), m)
	}
}

func remember[V any](m *map[string]V, key string, value V) {
	if *m == nil || len(*m) >= mostKept {
		*m = make(map[string]V)
	}
	(*m)[key] = value
}

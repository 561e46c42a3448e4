package lexicon

import (
	"hash/maphash"
	"slices"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Field is a text of an event, or the items of a list or of a map.
type Field uint8

// Fields. Those of a Row come first.
const (
	Stage Field = iota
	Level
	Verb
	URI
	User
	UID
	AsUser
	AsUID
	Constraint
	UserAgent
	APIGroup
	APIVersion
	Resource
	Subresource
	Namespace
	Name
	ObjectUID
	ResourceVersion
	Status
	StatusReason
	Message
	Source
	flat // how many a Row has

	GroupItems Field = iota - 1
	AsGroupItems
	IPItems
	UnknownItems
	ExtraKeys
	ExtraValues
	AsExtraKeys
	AsExtraValues
	AnnotationKeys
	Decision
	Reason
	fields // how many there are
)

// Lexicon has the texts of some events. It is not safe for concurrent use.
type Lexicon struct {
	seed   maphash.Seed
	tables [fields]table
	long   int

	groups, asGroups, ips, unknown lists
	extraMaps, asExtraMaps         extras
	annotations                    [recentPlaces]recentAnnotations
	codes                          []int32
	codeNumbers                    map[int32]uint32
	lastCode                       uint32

	row Row
	key []byte
}

// Row is an event in numbers.
type Row struct {
	Texts                          [flat]uint32
	Groups, AsGroups, IPs, Unknown uint32 // of lists
	Extra, AsExtra                 uint32
	Code                           uint32
	// Decision and Reason are numbers and 1 more; 0 is for an event that has none.
	Decision, Reason uint32
	// Annotations are the others, which most events have none of.
	Annotations *Annotations
}

// Annotations are those that are not about what was decided, by their keys.
type Annotations struct {
	Keys   []uint32
	Values []string
}

// recentAnnotations are annotations by where they lie.
type recentAnnotations struct {
	texts            map[string]string
	at               uintptr
	decision, reason uint32
	others           *Annotations
}

// New makes a Lexicon that has no texts.
func New() *Lexicon {
	of := func(items Field) lists { return lists{items: items, by: map[string]uint32{}, all: make([]List, 1)} }
	by := func(keys, values Field) extras {
		return extras{keys: keys, values: values, by: map[string]uint32{}, all: make([]Extra, 1)}
	}
	return &Lexicon{
		seed:   maphash.MakeSeed(),
		groups: of(GroupItems), asGroups: of(AsGroupItems), ips: of(IPItems), unknown: of(UnknownItems),
		extraMaps: by(ExtraKeys, ExtraValues), asExtraMaps: by(AsExtraKeys, AsExtraValues), codeNumbers: map[int32]uint32{},
	}
}

// Row gives numbers to an event. The row is that of the next event when that is asked for.
func (w *Lexicon) Row(e *audit.Event) *Row {
	r := &w.row
	t := &r.Texts
	t[Stage], t[Level], t[Verb] = w.text(Stage, e.Stage), w.text(Level, e.Level), w.text(Verb, e.Verb)
	t[URI], t[User], t[UID] = w.text(URI, e.URI), w.text(User, e.User), w.text(UID, e.UID)
	t[AsUser], t[AsUID], t[Constraint] = w.text(AsUser, e.AsUser), w.text(AsUID, e.AsUID), w.text(Constraint, e.Constraint)
	t[UserAgent], t[APIGroup], t[APIVersion] = w.text(UserAgent, e.UserAgent), w.text(APIGroup, e.APIGroup), w.text(APIVersion, e.APIVersion)
	t[Resource], t[Subresource] = w.text(Resource, e.Resource), w.text(Subresource, e.Subresource)
	t[Namespace], t[Name], t[ObjectUID] = w.text(Namespace, e.Namespace), w.text(Name, e.Name), w.text(ObjectUID, e.ObjectUID)
	t[ResourceVersion], t[Source] = w.text(ResourceVersion, e.ResourceVersion), w.text(Source, e.Source)
	t[Status], t[StatusReason], t[Message] = w.text(Status, e.Status), w.text(StatusReason, e.StatusReason), w.text(Message, e.Message)
	r.Groups, r.AsGroups = w.list(&w.groups, e.Groups), w.list(&w.asGroups, e.AsGroups)
	r.IPs, r.Unknown = w.list(&w.ips, e.SourceIPs), w.list(&w.unknown, e.Unknown)
	r.Extra, r.AsExtra = w.extra(&w.extraMaps, e.Extra), w.extra(&w.asExtraMaps, e.AsExtra)
	r.Code = w.code(e.Code)
	w.annotate(r, e.Annotations)
	return r
}

func (w *Lexicon) text(f Field, s string) uint32 {
	n, fresh := w.tables[f].number(w.seed, s)
	if fresh && len(s) > longText {
		w.long += len(s)
	}
	return n
}

func (w *Lexicon) code(code int32) uint32 {
	if len(w.codes) > 0 && w.codes[w.lastCode] == code {
		return w.lastCode
	}
	n, ok := w.codeNumbers[code]
	if !ok {
		n = uint32(len(w.codes))
		w.codes = append(w.codes, code)
		w.codeNumbers[code] = n
	}
	w.lastCode = n
	return n
}

func (w *Lexicon) annotate(r *Row, texts map[string]string) {
	if len(texts) == 0 {
		r.Decision, r.Reason, r.Annotations = 0, 0, nil
		return
	}
	at, slot := placeOf(texts)
	recent := &w.annotations[slot]
	if recent.at != at {
		*recent = recentAnnotations{texts: texts, at: at}
		var keys []string
		for k, v := range texts {
			switch k {
			case audit.AnnotationDecision:
				recent.decision = w.text(Decision, v) + 1
			case audit.AnnotationReason:
				recent.reason = w.text(Reason, v) + 1
			default:
				keys = append(keys, k)
			}
		}
		if len(keys) > 0 {
			slices.Sort(keys)
			recent.others = &Annotations{}
			for _, k := range keys {
				recent.others.Keys = append(recent.others.Keys, w.text(AnnotationKeys, k))
				recent.others.Values = append(recent.others.Values, texts[k])
			}
		}
	}
	r.Decision, r.Reason, r.Annotations = recent.decision, recent.reason, recent.others
}

// Texts are those of a field, by number.
func (w *Lexicon) Texts(f Field) []string { return w.tables[f].texts }

// Codes are the status codes, by number.
func (w *Lexicon) Codes() []int32 { return w.codes }

// Groups, AsGroups, IPs, Unknown, Extra and AsExtra are lists and maps by number.
func (w *Lexicon) Groups(n uint32) *List   { return &w.groups.all[n] }
func (w *Lexicon) AsGroups(n uint32) *List { return &w.asGroups.all[n] }
func (w *Lexicon) IPs(n uint32) *List      { return &w.ips.all[n] }
func (w *Lexicon) Unknown(n uint32) *List  { return &w.unknown.all[n] }
func (w *Lexicon) Extra(n uint32) *Extra   { return &w.extraMaps.all[n] }
func (w *Lexicon) AsExtra(n uint32) *Extra { return &w.asExtraMaps.all[n] }

// Long is how many bytes the texts have together that are so long as no honest client
// makes them.
func (w *Lexicon) Long() int { return w.long }

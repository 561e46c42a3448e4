package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"
	"sync"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
)

// Options say how to redact.
type Options struct {
	// Key is the installation's key for hashing what must stay comparable. Without one
	// it is masked instead. It is not changed afterwards.
	Key []byte
}

// Redactor redacts events. It is safe for concurrent use.
type Redactor struct {
	key   []byte
	walks sync.Pool // of *walk, with their memory
}

// New makes a Redactor.
func New(o Options) *Redactor {
	r := &Redactor{key: o.Key}
	r.walks.New = func() any { return &walk{r: r} }
	return r
}

// Markers.
const (
	// Marker begins what stands in the place of something that was taken out. Why
	// follows it: secret, token, credential, private-key, command, embedded,
	// unreadable.
	Marker = "gatehouse:redacted:"
	// HashMarker begins a keyed hash, 32 hexadecimal digits, of what stood there.
	HashMarker = "gatehouse:hmac:"
)

// Why something was taken out.
const (
	whySecret     = Marker + "secret"
	whyToken      = Marker + "token"
	whyCredential = Marker + "credential"
	whyPrivateKey = Marker + "private-key"
	whyCommand    = Marker + "command"
	whyEmbedded   = Marker + "embedded"
	whyUnreadable = Marker + "unreadable"
)

// IsMarker reports whether a text is exactly what a Redactor puts in the place of
// another, so that nothing can hide behind the look of one.
func IsMarker(s string) bool {
	if hash, ok := strings.CutPrefix(s, HashMarker); ok {
		if len(hash) != hashLength {
			return false
		}
		for _, c := range []byte(hash) {
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
		return true
	}
	switch s {
	case whySecret, whyToken, whyCredential, whyPrivateKey, whyCommand, whyEmbedded, whyUnreadable:
		return true
	}
	return false
}

const hashLength = 32

// hash is a marker that is equal for equal texts.
func (r *Redactor) hash(text string) string {
	if IsMarker(text) {
		return text
	}
	if len(r.key) == 0 {
		return whyCommand
	}
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(text))
	return HashMarker + hex.EncodeToString(mac.Sum(nil))[:hashLength]
}

// Event redacts an event in place.
func (r *Redactor) Event(e *audit.Event) { r.event(e, nil) }

// event is Event, with what is known of events before; nil for nothing.
func (r *Redactor) event(e *audit.Event, known *Series) {
	s := subjectOf(e)
	e.URI = r.uri(e.URI)
	e.UserAgent = known.scrub(e.UserAgent)
	e.Message = message(e.Message, e.Code, s)
	if s == opaque && e.Name != "" && !strings.HasPrefix(e.Name, "sha256~") {
		// An OAuth token of OpenShift before 4.6 is its own name.
		hashed := r.hash(e.Name)
		e.URI = strings.ReplaceAll(e.URI, e.Name, hashed)
		e.Name = hashed
	}
	e.Annotations = known.annotations(r, e.Annotations, s)
	e.Request = r.body(e.Request, s, e.Verb == "patch")
	e.Response = r.body(e.Response, s, false)
}

// annotations redacts annotations of an event; the map is copied when one changes.
func (r *Redactor) annotations(m map[string]string, s subject) map[string]string {
	copied := false
	for key, value := range m {
		clean := r.annotation(key, value, s)
		if clean == value {
			continue
		}
		if !copied {
			copied = true
			m = maps.Clone(m)
		}
		m[key] = clean
	}
	return m
}

// annotation redacts one annotation of an event. Admission leaves patches in them, and
// webhooks what they like.
func (r *Redactor) annotation(key, value string, s subject) string {
	if strings.HasPrefix(key, "authorization.k8s.io/") || strings.HasPrefix(key, "apiserver.latency.k8s.io/") || len(value) == 0 {
		return scrub(value)
	}
	if embedded(value) {
		w := r.walk()
		defer r.done(w)
		w.about = s
		return w.embedded(value, s)
	}
	if s.sensitive() && !short(value) && !IsMarker(value) {
		return whyEmbedded
	}
	return scrub(value)
}

// longestName is how long a text in the surroundings of a Secret may be to stay.
const longestName = 253

// short reports whether a text can be no more than a name or a word about an object.
func short(text string) bool {
	return len(text) <= longestName && !strings.ContainsAny(text, "{[\n") && !strings.HasPrefix(text, gzipped)
}

// gzipped is how a compressed manifest begins in base64.
const gzipped = "H4sI"

func (r *Redactor) walk() *walk { return r.walks.Get().(*walk) }

// done keeps a walk's memory for the next one, unless an unusual body has made it large.
func (r *Redactor) done(w *walk) {
	const most = 1 << 20
	if w.size > most {
		return
	}
	w.depth, w.about = 0, plain
	r.walks.Put(w)
}

// walk goes through one document.
type walk struct {
	r     *Redactor
	doc   jsondoc.Document
	depth int // how many documents this one is embedded in
	// about is what JSON patches within the document are about: plain, or in annotations
	// of an event, what the event is about.
	about subject
	size  int // the longest document it has read
}

func (w *walk) parse(data []byte) error {
	w.size = max(w.size, len(data))
	return w.doc.Parse(data)
}

package policy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gatehouse-io/gatehouse/policy/internal/part"
)

// memory knows which policies had nothing to say of requests that were equal in all
// that those policies read. Objects that one controller makes differ in their names
// alone: the next thousand of them are not judged anew by policies that look at images.
//
// What is remembered is that nothing was said, and nothing else: whatever a policy does
// say is worked out for each request. It is safe for concurrent use.
type memory struct {
	layouts part.Layouts
	// reads are what the policies of all groups read, each once.
	reads  []Read
	groups int

	mu sync.RWMutex // over young and old
	// young and old are what is remembered, by digests. When there are too many young
	// ones, the old ones are forgotten and the young ones become old: what is asked for
	// again is young again.
	young, old map[digest]silent
}

// digest is the SHA-256 of what a group read of a request: of two requests with the same
// one a policy can be shown no difference, and nobody can make two on purpose.
type digest [sha256.Size]byte

// silent are the policies of a group, by their places, that had nothing to say.
type silent []atomic.Uint64

func (s silent) has(place int) bool { return s[place/64].Load()&(1<<(place%64)) != 0 }
func (s silent) add(place int)      { s[place/64].Or(1 << (place % 64)) }

// mostWritten bounds what is written of one request, in bytes: what is longer is judged
// anew each time, which costs little beside reading it.
const mostWritten = 64 << 10

// mostRemembered bounds what is remembered: some 100 bytes each, twice.
const mostRemembered = 8192

// group are policies that read the same.
type group struct {
	index int
	reads []int // in memory.reads
	size  int   // how many policies there are
	// worth rises where a request was known, and falls where it was new. Below zero what
	// the group reads is different each time, and writing it down is for nothing but
	// every sixteenth time.
	worth atomic.Int32
	tries atomic.Uint32
}

const (
	mostWorth = 64
	hitWorth  = 8
	retry     = 16
)

func (g *group) hit() {
	if w := g.worth.Load(); w < mostWorth {
		g.worth.Store(min(mostWorth, w+hitWorth))
	}
}

func (g *group) miss() {
	if w := g.worth.Load(); w >= 0 {
		g.worth.Store(w - 1)
	}
}

// sleeps reports whether the group is left out this time.
func (g *group) sleeps() bool { return g.worth.Load() < 0 && g.tries.Add(1)%retry != 0 }

// judge is a Validator as a Set has it.
type judge struct {
	Validator
	meter *meter
	// group is nil where nothing is remembered; place is the policy's in it.
	group *group
	place int
}

// newMemory finds the groups among judges; nil where there is nothing to remember.
func newMemory(all []*judge) *memory {
	m := &memory{}
	groups, known := map[string]*group{}, map[string]int{}
	for _, j := range all {
		reader, ok := j.Validator.(Reader)
		if !ok {
			continue
		}
		reads, ok := reader.Reads()
		if !ok {
			continue
		}
		keys := make([]string, len(reads))
		at := map[string]int{}
		for i := range reads {
			keys[i] = reads[i].key()
			at[keys[i]] = i
		}
		slices.Sort(keys)
		keys = slices.Compact(keys)
		of := strings.Join(keys, "\x02")
		g := groups[of]
		if g == nil {
			g = &group{index: len(groups)}
			g.worth.Store(mostWorth)
			groups[of] = g
			for _, key := range keys {
				i, ok := known[key]
				if !ok {
					i = len(m.reads)
					known[key] = i
					m.reads = append(m.reads, reads[at[key]])
				}
				g.reads = append(g.reads, i)
			}
		}
		j.group, j.place = g, g.size
		g.size++
	}
	if m.groups = len(groups); m.groups == 0 {
		return nil
	}
	return m
}

func (m *memory) find(of digest) silent {
	m.mu.RLock()
	young := m.young[of]
	found := young
	if young == nil {
		found = m.old[of]
	}
	m.mu.RUnlock()
	if young == nil && found != nil {
		m.put(of, found)
	}
	return found
}

func (m *memory) put(of digest, s silent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.young == nil || len(m.young) >= mostRemembered {
		m.young, m.old = make(map[digest]silent, 4*m.groups), m.young
	}
	m.young[of] = s
}

// recollection is what a memory knows of one request. It is used by one goroutine.
type recollection struct {
	memory *memory
	parts  parts
	groups []recalled // by group.index
	// text is what a digest is made of; every one begins with the same head.
	text []byte
	head int
}

// recalled is what is known of a group.
type recalled struct {
	looked bool
	// blank says that the group cannot, or need not, be written down.
	blank  bool
	digest digest
	silent silent
}

// Who has found that nothing is said. They see a request in different forms, a server's
// own types or what those are in JSON, and in a few corners CEL tells these apart: what one
// has found is nothing to the other.
const (
	byValidate = 'v'
	bySilent   = 's'
)

// recall begins with a request. It is nil where nothing can be known: then known is
// false, and learn does nothing.
func (m *memory) recall(ctx context.Context, r *Request, by byte) *recollection {
	if m == nil {
		return nil
	}
	c := &recollection{memory: m, groups: make([]recalled, m.groups)}
	c.parts = parts{ctx: ctx, request: r, writer: part.Writer{Layouts: &m.layouts, Text: make([]byte, 0, 1<<10), Most: mostWritten}, at: make([][2]int, len(m.reads))}
	w := part.Writer{Text: append(make([]byte, 0, 1<<10), by)}
	kind, resource := r.GetKind(), r.GetResource()
	for _, s := range []string{kind.Group, kind.Version, kind.Kind, resource.Group, resource.Version, resource.Resource, r.GetSubresource(), string(r.GetOperation())} {
		w.String(s)
	}
	c.text, c.head = w.Text, len(w.Text)
	return c
}

// known reports whether a policy has nothing to say of the request.
func (c *recollection) known(j *judge) bool {
	if c == nil || j.group == nil {
		return false
	}
	of := c.look(j.group)
	return of.silent != nil && of.silent.has(j.place)
}

// look finds what is remembered of a group.
func (c *recollection) look(g *group) *recalled {
	of := &c.groups[g.index]
	if of.looked {
		return of
	}
	of.looked = true
	if of.blank = g.sleeps() || !c.write(g, &of.digest); of.blank {
		return of
	}
	if of.silent = c.memory.find(of.digest); of.silent != nil {
		g.hit()
	} else {
		g.miss()
	}
	return of
}

// write makes the digest of what a group reads; ok is false where that cannot be had.
func (c *recollection) write(g *group, to *digest) (ok bool) {
	c.text = binary.AppendUvarint(c.text[:c.head], uint64(g.index))
	for _, i := range g.reads {
		text, ok := c.parts.text(i, &c.memory.reads[i])
		if !ok {
			return false
		}
		c.text = binary.AppendUvarint(c.text, uint64(len(text)))
		c.text = append(c.text, text...)
	}
	*to = sha256.Sum256(c.text)
	return true
}

// learn notes that a policy, which was not known to, has had nothing to say.
func (c *recollection) learn(j *judge) {
	if c == nil || j.group == nil {
		return
	}
	of := c.look(j.group)
	if of.blank {
		return
	}
	if of.silent == nil {
		of.silent = make(silent, (j.group.size+63)/64)
		c.memory.put(of.digest, of.silent)
	}
	of.silent.add(j.place)
}

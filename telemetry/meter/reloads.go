package meter

import (
	"maps"
	"slices"
	"sync"
)

// Reloads count how often changed settings files were taken, and refused. It is safe for
// concurrent use; the zero value is ready.
type Reloads struct {
	mu  sync.Mutex
	all map[string]*reload // by what the file is, in few words
}

type reload struct {
	taken, refused float64
	failing        bool // the last one was refused
}

// Watch says that a file is followed: it is told of from then on, though it never changes.
func (r *Reloads) Watch(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of(what)
}

// Count notes what became of a changed file; err is why it is not in force.
func (r *Reloads) Count(what string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.of(what)
	if of.failing = err != nil; of.failing {
		of.refused++
	} else {
		of.taken++
	}
}

func (r *Reloads) of(what string) *reload {
	if r.all == nil {
		r.all = map[string]*reload{}
	}
	if r.all[what] == nil {
		r.all[what] = &reload{}
	}
	return r.all[what]
}

// Families are the metrics, for a Collector.
func (r *Reloads) Families() []Family {
	read := func(values func(what string, of *reload) []Value) func() []Value {
		return func() (all []Value) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, what := range slices.Sorted(maps.Keys(r.all)) {
				all = append(all, values(what, r.all[what])...)
			}
			return all
		}
	}
	return []Family{
		{
			Name: "gatehouse_settings_reloads_total", Help: "Changed settings files, by what the file is and whether it was taken.",
			Labels: []string{"file", "result"}, Counter: true,
			Read: read(func(what string, of *reload) []Value {
				return []Value{{[]string{what, "taken"}, of.taken}, {[]string{what, "refused"}, of.refused}}
			}),
		},
		{
			Name: "gatehouse_settings_stale", Help: "1 where the settings file that is on disk is not in force, because it was refused.",
			Labels: []string{"file"},
			Read: read(func(what string, of *reload) []Value {
				stale := 0.
				if of.failing {
					stale = 1
				}
				return []Value{Of(what, stale)}
			}),
		},
	}
}

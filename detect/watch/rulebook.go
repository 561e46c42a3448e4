package watch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/rules"
)

// rulebook is all rules and Mutes there are, and what became of each.
type rulebook struct {
	o *Options

	mu sync.Mutex
	// builtin are Gatehouse's own, and folder those of RulesDir.
	builtin *detect.Set
	folder  *folder // nil for none
	// objects are by name.
	rules map[string]*ruleObject
	mute  map[string]*muteObject
	// joined is what is in force; coverage what the audit policy leaves of it.
	joined   *detect.Set
	coverage map[*detect.Rule]detect.Coverage
	// covered is the policy that coverage speaks of.
	covered any
}

// ruleObject is a DetectionRule of the cluster.
type ruleObject struct {
	uid        string
	generation int64
	// set has the rule that is in force, or none.
	set *detect.Set
	// problem is why the object is refused, or empty. An older version may be in force.
	problem string
}

// muteObject is a Mute of the cluster.
type muteObject struct {
	mute    *v1alpha1.Mute
	problem string
}

func newRulebook(o *Options) (*rulebook, error) {
	b := &rulebook{o: o, builtin: &detect.Set{}, joined: &detect.Set{}, rules: map[string]*ruleObject{}, mute: map[string]*muteObject{}}
	if o.RulesDir != "" {
		f, err := openFolder(context.Background(), o.RulesDir)
		if err != nil {
			return nil, err
		}
		b.folder = f
	}
	if !slices.Equal(o.Builtin, []string{"*"}) && len(o.Builtin) > 0 {
		if _, err := b.picked(context.Background()); err != nil { // names are settings
			return nil, err
		}
	}
	return b, nil
}

// picked are those of Gatehouse's own rules that run.
func (b *rulebook) picked(ctx context.Context) ([]*v1alpha1.DetectionRule, error) {
	files, err := rules.Read(ctx)
	if err != nil {
		return nil, err
	}
	return pick(files.Rules, b.o.Builtin)
}

// begin compiles Gatehouse's own rules, and reads the objects for the first time.
func (b *rulebook) begin(ctx context.Context) error {
	picked, err := b.picked(ctx)
	if err != nil {
		return err
	}
	// Their examples were tried when the program was tested.
	set, problems := detect.Compile(picked, detect.Options{Untested: true})
	if len(problems) > 0 {
		return fmt.Errorf("compile the built-in rules: %s", problems[0])
	}
	b.mu.Lock()
	b.builtin = set
	b.join()
	b.mu.Unlock()
	b.firstObjects(ctx)
	return ctx.Err()
}

// pick picks rules by name.
func pick(all []*v1alpha1.DetectionRule, names []string) (picked []*v1alpha1.DetectionRule, err error) {
	if len(names) == 0 {
		return all, nil
	}
	want := map[string]bool{}
	for _, name := range names {
		name, out := strings.CutPrefix(name, "-")
		found := false
		for _, r := range all {
			if name == "*" || name == r.Name {
				want[r.Name], found = !out, true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no built-in rule %q; gatehouse detect list shows them", name)
		}
	}
	for _, r := range all {
		if want[r.Name] {
			picked = append(picked, r)
		}
	}
	return picked, nil
}

// join puts together what is in force. The first rule of a name counts: those of our
// own, then those of files, then objects by their names.
func (b *rulebook) join() { b.joined, _ = detect.Join(b.sets()...) }

func (b *rulebook) sets() []*detect.Set {
	sets := []*detect.Set{b.builtin}
	if b.folder != nil {
		sets = append(sets, b.folder.set)
	}
	for _, name := range slices.Sorted(maps.Keys(b.rules)) {
		sets = append(sets, b.rules[name].set)
	}
	return sets
}

// set is what is in force.
func (b *rulebook) set() *detect.Set {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.joined
}

// mutes are those of files, and of objects.
func (b *rulebook) mutes() (all []*v1alpha1.Mute) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.folder != nil {
		all = append(all, b.folder.mutes...)
	}
	for _, name := range slices.Sorted(maps.Keys(b.mute)) {
		if one := b.mute[name]; one.problem == "" {
			all = append(all, one.mute)
		}
	}
	return all
}

// putRule takes a DetectionRule, or a newer version of one; false says that it is known.
func (b *rulebook) putRule(r *v1alpha1.DetectionRule) bool {
	b.mu.Lock()
	before := b.rules[r.Name]
	b.mu.Unlock()
	if before != nil && before.uid == string(r.UID) && before.generation == r.Generation {
		return false
	}
	// It may take a moment: its examples are tried.
	set, problems := detect.Compile([]*v1alpha1.DetectionRule{r}, detect.Options{})
	b.mu.Lock()
	defer b.mu.Unlock()
	one := &ruleObject{uid: string(r.UID), generation: r.Generation, set: set, problem: textOf(problems)}
	if one.problem != "" && before != nil && before.uid == one.uid && len(before.set.Rules()) > 0 {
		one.set = before.set
		one.problem += ". Its last good version stays in force"
	}
	if one.problem == "" && (b.builtin.Rule(r.Name) != nil || b.folder != nil && b.folder.set.Rule(r.Name) != nil) {
		one.set, one.problem = &detect.Set{}, "metadata.name: there is another rule of this name, built in or of a file"
	}
	b.rules[r.Name] = one
	b.join()
	return true
}

func textOf(problems []detect.Problem) string {
	var all []string
	for _, p := range problems {
		all = append(all, p.Field+": "+p.Message)
	}
	return strings.Join(all, "; ")
}

// rejectRule notes an object that is none, though it says so.
func (b *rulebook) rejectRule(name string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := &ruleObject{set: &detect.Set{}, problem: err.Error()}
	if before := b.rules[name]; before != nil {
		one.set = before.set
	}
	b.rules[name] = one
	b.join()
}

func (b *rulebook) deleteRule(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.rules, name)
	b.join()
}

func (b *rulebook) putMute(m *v1alpha1.Mute) bool {
	one := &muteObject{mute: m}
	if wrong := detect.CheckMute(m); wrong != nil {
		one.problem = wrong.Field + ": " + wrong.Message
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.mute[m.Name]
	b.mute[m.Name] = one
	return before == nil || before.mute == nil || before.mute.UID != m.UID || before.mute.Generation != m.Generation
}

func (b *rulebook) rejectMute(name string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mute[name] = &muteObject{problem: err.Error()}
}

func (b *rulebook) deleteMute(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.mute, name)
}

// cover works out what the audit policy in force leaves of rules, where that is not known
// yet. It takes a moment.
func (b *rulebook) cover() {
	if b.o.Policy == nil {
		return
	}
	policy := b.o.Policy.Current()
	b.mu.Lock()
	known := b.coverage
	if b.covered != any(policy) {
		known = nil
	}
	sets := b.sets()
	b.mu.Unlock()
	all := map[*detect.Rule]detect.Coverage{}
	for _, set := range sets {
		var found []detect.Coverage
		for _, r := range set.Rules() {
			c, ok := known[r]
			if !ok {
				if found == nil {
					found = detect.Cover(set, policy)
				}
				c = found[slices.IndexFunc(found, func(c detect.Coverage) bool { return c.Rule == r.Name })]
			}
			all[r] = c
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.coverage, b.covered = all, policy
}

// sightOf is what the audit policy leaves of a rule; false where that is not known.
func (b *rulebook) sightOf(name string) (detect.Coverage, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.coverage[b.joined.Rule(name)]
	return c, ok
}

// states counts rules by what became of them.
func (b *rulebook) states() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := map[string]int{stateSees: 0, statePartly: 0, stateBlind: 0, stateUnknown: 0, stateRefused: 0}
	for _, r := range b.joined.Rules() {
		c, ok := b.coverage[r]
		switch {
		case !ok:
			n[stateUnknown]++
		case c.Sight == detect.Sees:
			n[stateSees]++
		case c.Sight == detect.Partly:
			n[statePartly]++
		default:
			n[stateBlind]++
		}
	}
	for _, one := range b.rules {
		if one.problem != "" {
			n[stateRefused]++
		}
	}
	return n
}

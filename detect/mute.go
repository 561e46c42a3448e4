package detect

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/internal/glob"
)

// ExpiredMute is the rule that a Finding of a Mute which has expired names.
const ExpiredMute = "expired-mute"

// mutes are the Mutes in force.
type mutes struct {
	all  []*v1alpha1.Mute // by name
	used map[string]int64
}

func (m *mutes) set(all []*v1alpha1.Mute) {
	m.all = slices.Clone(all)
	slices.SortFunc(m.all, func(a, b *v1alpha1.Mute) int { return cmp.Compare(a.Name, b.Name) })
	if m.used == nil {
		m.used = map[string]int64{}
	}
}

func (m *mutes) counts() map[string]int64 {
	counts := map[string]int64{}
	for _, one := range m.all {
		counts[one.Name] = m.used[one.Name]
	}
	return counts
}

// again applies the Mutes to the Findings that are not over, and tells those for which
// that makes a difference.
func (m *mutes) again(now time.Time, l *ledger) (changes []Change) {
	for _, f := range l.open {
		before := f.Muted
		f.Muted = m.of(f, now)
		if (before == "") != (f.Muted == "") {
			if f.Muted != "" {
				m.used[f.Muted]++
			}
			changes = append(changes, Change{Again, f.copied()})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return compareFindings(&a.Finding, &b.Finding) })
	return changes
}

// of is the name of the first Mute that matches and has not expired.
func (m *mutes) of(f *Finding, now time.Time) string {
	for _, one := range m.all {
		if now.Before(one.Spec.ExpiresAt.Time) && MuteMatches(one, f) {
			return one.Name
		}
	}
	return ""
}

// apply names the first Mute that matches in the Finding that is handed on, and in the one
// that is kept.
func (m *mutes) apply(f, kept *Finding) {
	if f.Muted = m.of(f, f.Last); f.Muted != "" {
		m.used[f.Muted]++
	}
	if kept != nil {
		kept.Muted = f.Muted
	}
}

// MuteMatches reports whether a Finding is one that a Mute means, expired or not. None means
// what is about the Mute itself: that it was made is told, whatever it says.
func MuteMatches(m *v1alpha1.Mute, f *Finding) bool {
	match := &m.Spec.Match
	switch {
	case len(match.Rules)+len(match.Fingerprints)+len(match.Users)+len(match.Namespaces) == 0:
		return false // one that says nothing mutes nothing
	case aboutMute(m.Name, &f.Object):
		return false
	case len(match.Rules) > 0 && !glob.Any(match.Rules, f.Rule),
		len(match.Fingerprints) > 0 && !slices.Contains(match.Fingerprints, f.Fingerprint),
		len(match.Users) > 0 && !glob.Any(match.Users, f.Subject.User),
		len(match.Namespaces) > 0 && (f.Object.Namespace == "" || !glob.Any(match.Namespaces, f.Object.Namespace)):
		return false
	}
	return true
}

// aboutMute reports whether a request was for a Mute; one that is given its name by the
// server may be any.
func aboutMute(name string, o *Object) bool {
	return o.Resource == "mutes" && o.APIGroup == v1alpha1.GroupName && (o.Name == name || o.Name == "")
}

// expired tells of Mutes that have expired: once when they do, and their Finding goes on
// for as long as they are there.
func (m *mutes) expired(now time.Time, l *ledger) (changes []Change) {
	ended := false
	for _, one := range m.all {
		end := one.Spec.ExpiresAt.Time
		if now.Before(end) {
			continue
		}
		id := fingerprint(ExpiredMute, one.Name)
		if f := l.open[id]; f != nil {
			f.Last = now
			continue
		}
		ended = true
		changes = append(changes, l.add(id, now, end, 1, true, nil, func(f *Finding) {
			f.Rule, f.Title, f.Severity, f.Runbook = ExpiredMute, "A Mute has expired", v1alpha1.SeverityLow, ExpiredMute
			f.Key, f.Quiet = []string{one.Name}, time.Hour
			f.Message = fmt.Sprintf("The Mute %s of %s has expired on %s: findings are told again. It was made because: %s", one.Name, one.Spec.Owner, end.UTC().Format(time.DateOnly), one.Spec.Reason)
		}))
	}
	if ended {
		changes = append(changes, m.again(now, l)...)
	}
	return changes
}

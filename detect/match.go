package detect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
)

// match is a DetectionMatch, ready to be asked.
type match struct {
	verbs, resources, paths []string
	stages                  uint8 // a bit for each stage
	// patterns says that names of resources are not all exact.
	patterns bool
	// settled says that an event of a kind that matches does: nothing but the stage is
	// left to ask.
	settled bool
}

func stageBit(stage string) uint8 {
	switch stage {
	case audit.StageReceived:
		return 1
	case audit.StageStarted:
		return 2
	case audit.StageComplete:
		return 4
	case audit.StagePanic:
		return 8
	}
	return 0
}

func compileMatch(m v1alpha1.DetectionMatch) (match, error) {
	c := match{verbs: m.Verbs, resources: m.Resources, paths: m.Paths}
	if slices.Contains(c.verbs, "*") {
		c.verbs = nil
	}
	for _, s := range m.Stages {
		bit := stageBit(s)
		if bit == 0 {
			return c, fmt.Errorf("there is no stage %q", s)
		}
		c.stages |= bit
	}
	if c.stages == 0 {
		c.stages = stageBit(audit.StageStarted) | stageBit(audit.StageComplete) | stageBit(audit.StagePanic)
	}
	for _, r := range m.Resources {
		if strings.Count(r, "/") > 1 || strings.HasPrefix(r, "/") || strings.HasPrefix(r, ".") || r == "" {
			return c, fmt.Errorf("%q is no resource: write RESOURCE, RESOURCE.GROUP, or either with /SUBRESOURCE", r)
		}
		name, _, sub, _ := cutResource(r)
		if name != "*" && strings.Contains(name, "*") || sub != "*" && strings.Contains(sub, "*") {
			c.patterns = true
		}
	}
	c.settled = !c.patterns && len(c.paths) == 0
	return c, nil
}

// cutResource cuts a resource of a match, as audit.MatchesResource reads it.
func cutResource(pattern string) (name, group, sub string, grouped bool) {
	name, sub, _ = strings.Cut(pattern, "/")
	name, group, grouped = strings.Cut(name, ".")
	return name, group, sub, grouped
}

// everything reports whether nothing is asked but the stage.
func (m *match) everything() bool {
	return len(m.verbs) == 0 && len(m.resources) == 0 && len(m.paths) == 0
}

// matches reports whether an event is one that is asked about.
func (m *match) matches(e *audit.Event) bool {
	return m.stages&stageBit(e.Stage) != 0 && (len(m.verbs) == 0 || slices.Contains(m.verbs, e.Verb)) && m.target(e)
}

func (m *match) target(e *audit.Event) bool {
	if len(m.resources) == 0 && len(m.paths) == 0 {
		return true
	}
	if e.Resource == "" {
		path, _, _ := strings.Cut(e.URI, "?")
		for _, p := range m.paths {
			if audit.MatchesText(p, path) {
				return true
			}
		}
		return false
	}
	for _, r := range m.resources {
		if audit.MatchesResource(r, e.APIGroup, e.Resource, e.Subresource) {
			return true
		}
	}
	return false
}

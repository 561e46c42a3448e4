package fix

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/check/manifest"
	"github.com/gatehouse-io/gatehouse/gate"
)

// Set gathers the fixes of findings, and plans them file by file.
type Set struct {
	// Plans are those of the files, in the order in which they were first added.
	Plans []*Plan

	files  map[string]*file
	order  []string
	hidden map[string][]int
}

// file is what is wanted of one.
type file struct {
	data  []byte
	err   error
	plan  *Plan
	wants []Want
	of    map[*check.Mend]int
	alone int // findings whose own fix was planned
}

// mostAlone is how many findings of one file get a diff of their own, where it is
// another than that of the whole object: each is proved by reading the file again.
const mostAlone = 100

// Told is what is told of the fix of one finding.
type Told struct {
	// Diff is a unified diff that can be printed as it is, and Changes its lines; there
	// are none of lines that may be secret.
	Diff    string
	Changes []Change
	// Refused says why there is none, or why it does not mend the finding.
	Refused string
	// Plan is the one of the file that the fix is in; nil where it is in none.
	Plan *Plan
}

// Add adds a finding of a check that has a Mend.
func (s *Set) Add(f *check.Finding) {
	name := f.Object.Source.File
	if s.files == nil {
		s.files = map[string]*file{}
	}
	if s.files[name] == nil {
		s.files[name] = &file{of: map[*check.Mend]int{}}
		s.order = append(s.order, name)
	}
	in := s.files[name]
	if _, ok := in.of[f.Mend]; !ok && f.Mend.Wanted != nil {
		in.of[f.Mend] = len(in.wants)
		in.wants = append(in.wants, wantOf(f.Object, f.Mend, f.Mend.Wanted))
	}
}

func wantOf(o *manifest.Object, m *check.Mend, after map[string]any) Want {
	tree := o.Tree()
	line, column := tree.Place(tree.Root)
	return Want{Line: line, Column: column, Before: m.Written, After: after}
}

// Hide says that a line of a file may be secret: no diff shows it.
func (s *Set) Hide(file string, line int) {
	if s.hidden == nil {
		s.hidden = map[string][]int{}
	}
	s.hidden[file] = append(s.hidden[file], line)
}

// Plan plans the files, whose bytes read returns.
func (s *Set) Plan(ctx context.Context, read func(file string) ([]byte, error)) {
	for _, name := range s.order {
		in := s.files[name]
		if len(in.wants) == 0 {
			continue
		}
		if in.data, in.err = read(name); in.err == nil {
			in.plan = New(ctx, name, in.data, in.wants)
			s.Plans = append(s.Plans, in.plan)
		}
	}
}

// Tell is what there is to tell of a finding that was added, once all is planned. With
// whole it is the fix of the object, else that of the finding alone.
func (s *Set) Tell(ctx context.Context, f *check.Finding, whole bool) Told {
	in := s.files[f.Object.Source.File]
	at, ok := in.of[f.Mend]
	switch {
	case f.Mend.Refused != "":
		return Told{Refused: f.Mend.Refused}
	case !ok || in.err != nil || in.plan == nil:
		return Told{Refused: "its file cannot be read again"}
	case f.Unmended != "":
		return Told{Refused: f.Unmended}
	case in.plan.Refused[at] != nil:
		return Told{Refused: in.plan.Refused[at].Error()}
	}
	told := Told{Plan: in.plan}
	plan, of := in.plan, at
	if !whole && !reflect.DeepEqual(f.Wanted, f.Mend.Wanted) {
		if f.Wanted == nil || in.alone == mostAlone {
			return told
		}
		in.alone++
		plan, of = New(ctx, in.plan.Name, in.data, []Want{wantOf(f.Object, f.Mend, f.Wanted)}), 0
		if plan.Refused[0] != nil {
			return Told{Refused: plan.Refused[0].Error()}
		}
	}
	hide := s.options(in.plan.Name)
	hide.Of = &of
	told.Diff = Printable(plan.Diff(hide))
	if lines := plan.Changes(&of); len(plan.secret) == 0 && len(hide.Hidden) == 0 && !slices.ContainsFunc(lines, steers) {
		told.Changes = lines
	}
	if !f.Mends {
		told.Refused = "the policy's own patch does not mend it"
	}
	return told
}

// Diff is that of a whole file, to be printed where lines may be secret.
func (s *Set) Diff(p *Plan) string { return p.Diff(s.options(p.Name)) }

func (s *Set) options(name string) DiffOptions {
	return DiffOptions{Hidden: s.hidden[name], Cover: manifest.Covered}
}

// Printable is a diff whose lines steer no terminal.
func Printable(diff string) string {
	lines := strings.Split(diff, "\n")
	for i, line := range lines {
		lines[i] = gate.Plain(strings.TrimSuffix(line, "\r"))
	}
	return strings.Join(lines, "\n")
}

// steers reports whether a change has characters that no report may hold.
func steers(c Change) bool {
	return slices.ContainsFunc(c.New, func(line string) bool {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		return gate.Plain(line) != strings.ReplaceAll(line, "\t", " ")
	})
}

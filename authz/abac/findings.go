package abac

import (
	"fmt"

	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/gate"
)

// remark is something about a line that is accepted and hardly meant.
type remark int

const (
	opensAll remark = iota
	ignoresField
	matchesNobody
	isUnversioned
	remarkKinds
)

// remarks are the first line of each kind, and how many there are: a file may
// have thousands.
type remarks [remarkKinds]struct {
	line, count int
	text        string
}

func (r *remarks) on(line int, d *decoded) {
	if d.spec == wideOpen {
		r.add(opensAll, line, "every authenticated user may do everything")
	}
	for _, err := range d.ignored {
		r.add(ignoresField, line, "ignored: "+cut(err.Error()))
	}
	if d.User == "" && d.Group == "" {
		r.add(matchesNobody, line, "it names no user and no group, and so allows nobody anything")
	}
	if d.unversioned {
		r.add(isUnversioned, line, "it has no version, and so what it leaves out means everyone and everything: write it as v1beta1")
	}
}

// wideOpen is what a line of the old form that names nothing comes to, "null" and
// "---" among them.
var wideOpen = spec{
	Group: user.AllAuthenticated, APIGroup: everything, Resource: everything, Namespace: everything, NonResourcePath: everything,
}

func (r *remarks) add(kind remark, line int, text string) {
	if r[kind].count++; r[kind].count == 1 {
		r[kind].line, r[kind].text = line, text
	}
}

func (r *remarks) findings(file string) []gate.Finding {
	var all []gate.Finding
	for _, found := range r {
		if found.count == 0 {
			continue
		}
		if found.count > 1 {
			found.text += fmt.Sprintf(" (and %d more like it)", found.count-1)
		}
		all = append(all, gate.Finding{
			Step: gate.Step{Gate: gateName, Part: partName, Opinion: gate.Warn, Reason: found.text},
			At:   gate.Source{File: file, Line: found.line},
		})
	}
	return all
}

// Findings are the things in the file that are accepted, as upstream accepts them,
// and hardly meant: the first line of each kind, the gravest kind first.
func (p *Policies) Findings() []gate.Finding { return p.findings }

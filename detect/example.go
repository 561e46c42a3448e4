package detect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/record"
)

// exampleBegins is when examples do: it stands for no time in particular.
var exampleBegins = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// maxExample is how many events an example has at most, repetitions counted.
const maxExample = 20000

// ExampleEvents are the events of an example as they would be recorded if everything were.
func ExampleEvents(x *v1alpha1.DetectionExample) ([]*audit.Event, error) {
	var all []*audit.Event
	at := exampleBegins
	decoder := record.Decoder{Source: "example"}
	for i := range x.Events {
		one := &x.Events[i]
		if one.At != nil {
			at = exampleBegins.Add(one.At.Duration)
		}
		every := time.Second
		if one.Every != nil {
			every = one.Every.Duration
		}
		alike := repeatedAlike(one.Event.Raw)
		times := max(int(one.Repeat), 1)
		if len(all)+times > maxExample {
			return nil, fmt.Errorf("event %d: more than %d events", i+1, maxExample)
		}
		for n := range times {
			if n > 0 {
				at = at.Add(every)
				if alike {
					again := *all[len(all)-1]
					again.ID = exampleID(len(all) + 1)
					again.Time = at.Truncate(time.Microsecond)
					again.Received = again.Time
					all = append(all, &again)
					continue
				}
			}
			text, err := exampleJSON(one.Event.Raw, n+1, len(all)+1, at)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", i+1, err)
			}
			e, err := decoder.Event(text)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", i+1, err)
			}
			if decoder.Omitted > 0 {
				return nil, fmt.Errorf("event %d has a field that no Event of audit.k8s.io/v1 has", i+1)
			}
			all = append(all, e)
		}
	}
	return all, nil
}

// repeatedAlike reports whether repetitions of an event differ in nothing but what
// exampleJSON fills in. It may say no of some that do.
func repeatedAlike(raw []byte) bool {
	for _, told := range []string{"{n}", "auditID", "requestReceivedTimestamp", "stageTimestamp", `\`} {
		if bytes.Contains(raw, []byte(told)) {
			return false
		}
	}
	return true
}

func exampleID(number int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", number) }

// exampleJSON fills in what an event of an example leaves out.
func exampleJSON(raw []byte, n, number int, at time.Time) ([]byte, error) {
	var e map[string]any
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("it is no object: %w", err)
	}
	if n > 0 {
		numbered(e, strconv.Itoa(n))
	}
	set := func(name string, value any) {
		if _, ok := e[name]; !ok {
			e[name] = value
		}
	}
	set("auditID", exampleID(number))
	set("stage", audit.StageComplete)
	set("requestReceivedTimestamp", at.Format(time.RFC3339Nano))
	set("stageTimestamp", at.Format(time.RFC3339Nano))
	set("requestURI", "/")
	level := "Metadata"
	if e["responseObject"] != nil {
		level = "RequestResponse"
	} else if e["requestObject"] != nil {
		level = "Request"
	}
	set("level", level)
	set("responseStatus", map[string]any{"code": 200})
	status, _ := e["responseStatus"].(map[string]any)
	decision := "allow"
	if code, _ := status["code"].(float64); code == 403 {
		decision = "forbid"
	} else if code == 401 {
		decision = "" // nothing was decided
	}
	annotations, ok := e["annotations"].(map[string]any)
	if !ok {
		annotations = map[string]any{}
		set("annotations", annotations)
	}
	if _, ok := annotations[audit.AnnotationDecision]; !ok && decision != "" {
		annotations[audit.AnnotationDecision] = decision
	}
	return json.Marshal(e)
}

// numbered puts a number for {n} into every text below.
func numbered(value any, n string) any {
	switch v := value.(type) {
	case string:
		return strings.ReplaceAll(v, "{n}", n)
	case map[string]any:
		for k, below := range v {
			v[k] = numbered(below, n)
		}
	case []any:
		for i, below := range v {
			v[i] = numbered(below, n)
		}
	}
	return value
}

// outcome is what a rule makes of events.
type outcome struct {
	findings []Finding
	failed   string
}

// try asks a rule of its own about events, until some time after the first.
func try(r *Rule, events []*audit.Event, until time.Duration) (o outcome) {
	ctx := context.Background()
	// Nothing comes late in an example, and what is over is still a finding of it.
	s := NewState(newSet([]*Rule{r}), StateOptions{Late: time.Microsecond})
	take := func(changes []Change) {
		for _, c := range changes {
			if c.What == New {
				o.findings = append(o.findings, c.Finding)
			}
		}
	}
	for _, e := range events {
		take(s.Observe(ctx, e))
	}
	if until > 0 {
		take(s.Advance(ctx, exampleBegins.Add(until).Add(time.Microsecond)))
	}
	o.failed = s.Stats().Rules[r.Name].Last
	return o
}

// test holds a rule to its examples.
func test(r *Rule) (problems []Problem) {
	check := func(kind string, examples []v1alpha1.DetectionExample, fires bool) {
		for i := range examples {
			x := &examples[i]
			field := fmt.Sprintf("spec.examples.%s[%d]", kind, i)
			says := fmt.Sprintf("%s example %d", kind, i+1)
			if x.Says != "" {
				says += " (" + x.Says + ")"
			}
			events, err := ExampleEvents(x)
			if err != nil {
				problems = append(problems, Problem{r.Name, field, fmt.Sprintf("%s cannot be read: %v", says, err)})
				continue
			}
			until := time.Duration(0)
			if x.Until != nil {
				until = x.Until.Duration
			}
			switch o := try(r, events, until); {
			case o.failed != "":
				problems = append(problems, Problem{r.Name, field, fmt.Sprintf("%s cannot be judged: %s; ask with has() first", says, o.failed)})
			case fires && len(o.findings) == 0:
				problems = append(problems, Problem{r.Name, field, says + " makes no finding"})
			case !fires && len(o.findings) > 0:
				problems = append(problems, Problem{r.Name, field, says + " makes a finding: " + o.findings[0].Message})
			}
		}
	}
	check("positive", r.Spec.Examples.Positive, true)
	check("negative", r.Spec.Examples.Negative, false)
	return problems
}

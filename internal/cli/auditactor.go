package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/audit/query"
	"github.com/gatehouse-io/gatehouse/audit/queryapi"
)

// objectOf reads KIND/NAME. A kind that is not built in is taken for a resource, as
// widgets.example.com.
func objectOf(arg, namespace string) (query.Object, error) {
	kind, name, ok := strings.Cut(arg, "/")
	if !ok || kind == "" || name == "" || strings.Contains(name, "/") {
		return query.Object{}, coded(exitUsage, &hintError{problem: fmt.Sprintf("%q is not KIND/NAME", arg), hint: "write pod/web-1 or deployment/web"})
	}
	o := query.Object{Namespace: namespace, Name: name}
	if r, ok := builtInCatalog().find(kind); ok {
		o.Resource, o.APIGroup = r.resource, r.group
		if r.namespaced && namespace == "" {
			return o, coded(exitUsage, &hintError{problem: fmt.Sprintf("a %s is in a namespace", r.singular), hint: "name it with -n"})
		}
		if !r.namespaced {
			o.Namespace = ""
		}
		return o, nil
	}
	resource := schema.ParseGroupResource(kind)
	if resource.Group == "" {
		return o, coded(exitUsage, &hintError{problem: fmt.Sprintf("the kind %q is not known", kind), hint: "write the resource with its group, as widgets.example.com/NAME"})
	}
	o.Resource, o.APIGroup = resource.Resource, resource.Group
	return o, nil
}

func newAuditActor() *cobra.Command {
	var source eventFlags
	var deleted bool
	var at, uid, output string
	cmd := &cobra.Command{
		Use:   "actor KIND/NAME",
		Short: "Find who began an object, or deleted it: a person behind controllers",
		Long: `Find who began an object, through its owners: a pod was made by a controller for a
ReplicaSet, that by another for a Deployment, and that was changed by somebody. Each step
says which event or reference it stands on, and whether it is sure, likely or a guess;
where something was not recorded, which audit level would have shown it.

Of a name that was used several times the newest object is meant, or the one before --at,
or with --uid.
` + eventSourceHelp + exitCodesHelp,
		Example: `  gatehouse audit actor pod/web-5d4f8c7b9-x7k2p -n shop
  gatehouse audit actor pod/web-5d4f8c7b9-x7k2p -n shop --deleted
  gatehouse audit actor deployment/web -n shop --at 2026-03-04T05:00:00Z --store audit/`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &hintError{problem: "want KIND/NAME", hint: "gatehouse audit actor pod/web-1 -n shop"}
			}
			return checkOutput(output, "table", "json")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := objectOf(args[0], source.namespace)
			if err != nil {
				return err
			}
			o.UID = uid
			opts := query.ActorOptions{Deleted: deleted}
			if at != "" {
				if opts.At, err = query.ParseTime(at, time.Now()); err != nil {
					return coded(exitUsage, fmt.Errorf("--at: %w", err))
				}
			}
			if o.Namespace == "" {
				source.namespace = ""
			}
			s, err := source.open(cmd, false)
			if err != nil {
				return err
			}
			actor, err := query.FindActor(cmd.Context(), s.Reader, o, opts)
			if err != nil {
				return s.done(err)
			}
			if output == "json" {
				err = printObject(cmd.OutOrStdout(), "json", queryapi.ActorOf(queryapi.ServeGroup, actor))
			} else {
				err = printActor(cmd, actor, deleted)
				s.tellGaps(actor.Gaps)
			}
			if err == nil && !actor.Found {
				err = coded(exitUnreadable, errors.New("the events do not say who it was"))
			}
			return s.done(err)
		},
	}
	source.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&deleted, "deleted", false, "who deleted it")
	f.StringVar(&at, "at", "", "a time at which it was there, or by which it was deleted: 2h, 2006-01-02, RFC 3339")
	f.StringVar(&uid, "uid", "", "UID of the object that is meant")
	f.StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func printActor(cmd *cobra.Command, a *query.Actor, deleted bool) error {
	p := &printed{w: cmd.OutOrStdout()}
	what := "begun"
	if deleted {
		what = "ended"
	}
	switch last := a.Last(); {
	case a.Found:
		p.line("", fmt.Sprintf("%s was %s by %s (%s)", a.Object, what, last.By, a.Certainty))
	default:
		p.line("", fmt.Sprintf("who has %s %s is not in the events", what, a.Object))
	}
	for i := range a.Hops {
		h := &a.Hops[i]
		p.line("", "")
		p.line("", h.Object.String())
		if h.Event != nil {
			p.line("  ", fmt.Sprintf("%s %s by %s (%s)", h.Did, clockTime(h.Event.Time), h.By, h.Certainty))
		} else {
			p.line("  ", "not recorded ("+string(h.Certainty)+")")
		}
		for _, e := range h.Evidence {
			p.line("    - ", e)
		}
		if h.Lacks != "" {
			p.line("    ! ", h.Lacks)
		}
	}
	if e := a.Trigger; e != nil {
		p.line("", "")
		p.line("", fmt.Sprintf("it may replace %s, which %s %s %s (event %s)", query.ObjectOf(e), whoText(e), map[bool]string{true: "evicted", false: "deleted"}[e.Subresource == "eviction"], clockTime(e.Time), e.ID))
	}
	if len(a.Since) > 0 {
		p.line("", "")
		p.line("", "and since then:")
		for _, e := range a.Since {
			p.line("  ", fmt.Sprintf("%s  %s  %s %s  %s", clockTime(e.Time), whoText(e), e.Verb, query.ResourceOf(e), codeText(e)))
		}
	}
	return coded(exitInternal, p.err)
}

package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/celevent"
	"github.com/gatehouse-io/gatehouse/audit/query"
)

const filterHelp = `
A flag that is given several times, or a list with commas, means any of its values; all
flags must hold. Values are exact, but a * at either end stands for anything. A resource is
pods, deployments.apps, pods/exec, or pods/* for its subresources.

--where is a condition in CEL over the event with the names of audit.k8s.io/v1, such as
event.user.username, event.objectRef.name, event.responseStatus.code,
event.requestObject.spec.replicas, event.latency.
`

// filterFlags say which events are meant.
type filterFlags struct {
	filter      audit.Filter
	since, upTo string
	where       string
}

func (f *filterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	for name, list := range map[string]*[]string{
		"user": &f.filter.Users, "group": &f.filter.Groups, "verb": &f.filter.Verbs, "resource": &f.filter.Resources, "name": &f.filter.Names,
		"code": &f.filter.Codes, "decision": &f.filter.Decisions, "ip": &f.filter.IPs, "stage": &f.filter.Stages, "source": &f.filter.Sources,
	} {
		flags.StringSliceVar(list, name, nil, map[string]string{
			"user": "who: authenticated or impersonated", "group": "a group of theirs", "verb": "get, list, create, delete, …; lower-case HTTP method of other requests",
			"resource": "pods, deployments.apps, pods/exec", "name": "name of the object", "code": "403, or 4xx", "decision": "allow or forbid",
			"ip": "an address the request came from or through", "stage": "ResponseComplete, ResponseStarted, …", "source": "serve, webhook, raw, eks, gke, aks, openshift",
		}[name])
	}
	// User agents have commas.
	flags.StringArrayVar(&f.filter.UserAgents, "user-agent", nil, "what the client says it is")
	flags.StringVar(&f.filter.URIContains, "uri", "", "a part of the request's URI")
	flags.StringVar(&f.since, "since", "", "no events before: 2h, 7d, 2006-01-02, or a time as in RFC 3339 (default: all there are)")
	flags.StringVar(&f.since, "from", "", "the same as --since")
	flags.StringVar(&f.upTo, "until", "", "no events from then on (default: now)")
	flags.StringVar(&f.upTo, "to", "", "the same as --until")
	cmd.MarkFlagsMutuallyExclusive("since", "from")
	cmd.MarkFlagsMutuallyExclusive("until", "to")
	cmd.RegisterFlagCompletionFunc("decision", cobra.FixedCompletions([]string{"allow", "forbid"}, cobra.ShellCompDirectiveNoFileComp))
}

func (f *filterFlags) addWhere(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.where, "where", "", "a condition in CEL over the event")
}

// parse completes the filter, and compiles the condition; nil is none.
func (f *filterFlags) parse(now time.Time) (*celevent.Program, error) {
	for _, flag := range []struct {
		name, text string
		into       *time.Time
	}{{"--since", f.since, &f.filter.From}, {"--until", f.upTo, &f.filter.To}} {
		if flag.text == "" {
			continue
		}
		var err error
		if *flag.into, err = query.ParseTime(flag.text, now); err != nil {
			return nil, coded(exitUsage, fmt.Errorf("%s: %w", flag.name, err))
		}
	}
	if from, to := f.filter.From, f.filter.To; !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return nil, coded(exitUsage, &hintError{problem: "--since is not before --until", hint: "write --since 30d --until 1d"})
	}
	for _, code := range f.filter.Codes {
		if len(code) != 3 || strings.Trim(code, "0123456789xX") != "" {
			return nil, coded(exitUsage, &hintError{problem: fmt.Sprintf("--code: %q is no status", code), hint: "write 403, or 4xx"})
		}
	}
	if f.where == "" {
		return nil, nil
	}
	env, err := celevent.NewEnv(celevent.Options{})
	if err != nil {
		return nil, coded(exitInternal, err)
	}
	p, err := env.Compile(f.where, celevent.Bool)
	if err != nil {
		var syntax *celevent.SyntaxError
		hint := ""
		if errors.As(err, &syntax) && strings.Contains(syntax.Message, "undefined field") {
			hint = "the fields are those of an Event of audit.k8s.io/v1: event.user.username, event.objectRef.resource, event.verb, event.responseStatus.code"
		}
		return nil, coded(exitUsage, &hintError{problem: "--where: " + err.Error(), hint: hint})
	}
	return p, nil
}

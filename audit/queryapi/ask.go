package queryapi

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
)

// Ask is a question as the parameters of a URL say it.
type Ask struct {
	Filter audit.Filter
	// Where is a condition in CEL; empty is none.
	Where string
	// CountBy counts by these fields, in place of listing.
	CountBy []string
	Order   audit.Order
	// Limit is how many events or groups are wanted at most; 0 is the server's default.
	Limit    int
	Continue string
	// Bodies says that request and response bodies are wanted.
	Bodies bool
	Watch  bool
	// Timeout is when a watch ends; 0 is the server's default.
	Timeout time.Duration

	// Object, At and Deleted are of a question for an actor, By of a timeline.
	Object  query.Object
	At      time.Time
	Deleted bool
	By      string
}

// lists are the parameters that may be given several times, each with its list.
func (a *Ask) lists() map[string]*[]string {
	f := &a.Filter
	return map[string]*[]string{
		"id": &f.IDs, "stage": &f.Stages, "user": &f.Users, "group": &f.Groups, "verb": &f.Verbs, "resource": &f.Resources,
		"namespace": &f.Namespaces, "name": &f.Names, "code": &f.Codes, "decision": &f.Decisions, "ip": &f.IPs,
		"userAgent": &f.UserAgents, "source": &f.Sources, "countBy": &a.CountBy,
	}
}

// texts are the parameters that are given once.
func (a *Ask) texts() map[string]*string {
	return map[string]*string{
		"uri": &a.Filter.URIContains, "where": &a.Where, "continue": &a.Continue, "by": &a.By, "uid": &a.Object.UID,
	}
}

func (a *Ask) times() map[string]*time.Time {
	return map[string]*time.Time{"from": &a.Filter.From, "to": &a.Filter.To, "at": &a.At}
}

func (a *Ask) flags() map[string]*bool {
	return map[string]*bool{"bodies": &a.Bodies, "watch": &a.Watch, "deleted": &a.Deleted}
}

var orders = map[string]audit.Order{"oldest": audit.OldestFirst, "newest": audit.NewestFirst}

// maxValues is how many values one parameter may have, since each event is held
// against each.
const maxValues = 1000

// ParseAsk reads parameters. A time may also be how long ago it is.
func ParseAsk(values url.Values, now time.Time) (*Ask, error) {
	a := &Ask{Order: audit.NewestFirst}
	lists, texts, times, flags := a.lists(), a.texts(), a.times(), a.flags()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		all := values[name]
		if list, ok := lists[name]; ok {
			if len(all) > maxValues {
				return nil, fmt.Errorf("%s: is given %d times, more than %d", name, len(all), maxValues)
			}
			*list = all
			continue
		}
		if len(all) != 1 {
			return nil, fmt.Errorf("%s: is given %d times", name, len(all))
		}
		value := all[0]
		var err error
		if text, ok := texts[name]; ok {
			*text = value
		} else if t, ok := times[name]; ok {
			*t, err = query.ParseTime(value, now)
		} else if flag, ok := flags[name]; ok {
			*flag, err = strconv.ParseBool(value)
		} else {
			err = a.other(name, value)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if f := a.Filter; !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		return nil, fmt.Errorf("to: is not after from")
	}
	return a, nil
}

// other reads the parameters that are of a kind of their own.
func (a *Ask) other(name, value string) error {
	switch name {
	case "order":
		order, ok := orders[value]
		if !ok {
			return fmt.Errorf("%q is neither newest nor oldest", value)
		}
		a.Order = order
	case "limit", "timeoutSeconds":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no number from 0 on", value)
		}
		if name == "limit" {
			a.Limit = n
		} else {
			a.Timeout = time.Duration(min(n, 1<<30)) * time.Second
		}
	case "timeout", "pretty": // which clients of the Kubernetes API send
	default:
		return fmt.Errorf("is not a parameter; there are %s", strings.Join(parameters(), ", "))
	}
	return nil
}

func parameters() []string {
	a := &Ask{}
	names := slices.Concat(slices.Collect(maps.Keys(a.lists())), slices.Collect(maps.Keys(a.texts())), slices.Collect(maps.Keys(a.times())),
		slices.Collect(maps.Keys(a.flags())), []string{"order", "limit", "timeoutSeconds"})
	slices.Sort(names)
	return names
}

// Values are the parameters that say the question.
func (a *Ask) Values() url.Values {
	values := url.Values{}
	for name, list := range a.lists() {
		if len(*list) > 0 {
			values[name] = *list
		}
	}
	for name, text := range a.texts() {
		if *text != "" {
			values.Set(name, *text)
		}
	}
	for name, t := range a.times() {
		if !t.IsZero() {
			values.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	for name, flag := range a.flags() {
		if *flag {
			values.Set(name, "true")
		}
	}
	if a.Order == audit.OldestFirst {
		values.Set("order", "oldest")
	}
	if a.Limit > 0 {
		values.Set("limit", strconv.Itoa(a.Limit))
	}
	if a.Timeout > 0 {
		values.Set("timeoutSeconds", strconv.Itoa(int(a.Timeout/time.Second)))
	}
	return values
}

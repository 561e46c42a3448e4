package query

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/celevent"
)

// Query says which events are asked for.
type Query struct {
	Filter audit.Filter
	// Where is a condition besides; nil is none.
	Where *celevent.Program
	Order audit.Order
	// Limit is how many events are wanted at most; 0 for all.
	Limit int
	// After is where an earlier answer of the same query ended; zero begins.
	After Cursor
	// Bodies says that Request and Response are wanted.
	Bodies bool
}

// Unjudged counts the events that a condition could not judge, and which therefore did
// not match.
type Unjudged struct {
	Count int64
	// First is what the first of them was about.
	First error
}

// Run yields the events, in order. u may be nil.
func (q *Query) Run(ctx context.Context, r audit.Reader, u *Unjudged) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) {
		scan := audit.Scan{Filter: q.Filter, Order: q.Order, Bodies: q.Bodies || q.Where != nil && q.Where.Bodies()}
		if q.Where == nil && q.After.IsZero() {
			scan.Limit = q.Limit
		}
		q.After.narrow(&scan)
		var a celevent.Activation
		found := 0
		for e, err := range r.Scan(ctx, scan) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !q.After.IsZero() && !q.After.before(e, q.Order) {
				continue
			}
			if q.Where != nil {
				a.Set(e)
				yes, err := q.Where.Match(ctx, &a)
				if ctx.Err() != nil {
					yield(nil, ctx.Err())
					return
				}
				if err != nil && u != nil {
					if u.Count++; u.First == nil {
						u.First = err
					}
				}
				if err != nil || !yes {
					continue
				}
			}
			if !yield(e, nil) {
				return
			}
			if found++; found == q.Limit {
				return
			}
		}
	}
}

// Cursor is a place between two events. It is the Key and the time of the one before it.
type Cursor struct {
	Time      time.Time
	ID, Stage string
}

// CursorOf is the place after an event.
func CursorOf(e *audit.Event) Cursor { return Cursor{e.Time, e.ID, e.Stage} }

// IsZero reports whether the place is the beginning.
func (c Cursor) IsZero() bool { return c.Time.IsZero() }

// before reports whether the place is before an event.
func (c Cursor) before(e *audit.Event, order audit.Order) bool {
	side := audit.Compare(&audit.Event{Time: c.Time, ID: c.ID, Stage: c.Stage}, e)
	if order == audit.NewestFirst {
		return side > 0
	}
	return side < 0
}

// narrow leaves out of a scan what is before the place.
func (c Cursor) narrow(s *audit.Scan) {
	if c.IsZero() {
		return
	}
	if end := c.Time.Add(time.Microsecond); s.Order == audit.NewestFirst && (s.Filter.To.IsZero() || end.Before(s.Filter.To)) {
		s.Filter.To = end
	} else if s.Order == audit.OldestFirst && c.Time.After(s.Filter.From) {
		s.Filter.From = c.Time
	}
}

// String is the place as a token for a URL.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	data, _ := json.Marshal([]any{c.Time.UnixMicro(), c.ID, c.Stage}) // of a number and strings
	return base64.RawURLEncoding.EncodeToString(data)
}

var errCursor = errors.New("the place to continue from is none that an answer gave")

// ParseCursor reads what String made.
func ParseCursor(token string) (Cursor, error) {
	if token == "" {
		return Cursor{}, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return Cursor{}, errCursor
	}
	var micro int64
	var c Cursor
	parts := []any{&micro, &c.ID, &c.Stage}
	if err := json.Unmarshal(data, &parts); err != nil || len(parts) != 3 || micro == 0 {
		return Cursor{}, errCursor
	}
	c.Time = time.UnixMicro(micro).UTC()
	return c, nil
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
)

// question is one that a person who investigates asks, in the words of each side.
type question struct {
	name   string
	target time.Duration // with all events
	// ask answers it and says how many rows the answer has.
	ask func(ctx context.Context, r audit.Reader, s subject) (int, error)
	// sql asks SQLite's table; duck asks the Parquet files; jq filters lines.
	sql, duck, jq func(s subject) string
}

// subject is what the questions are about: somebody who is there, and times.
type subject struct {
	User, Namespace string
	From            time.Time // ten minutes from here, and the day of it
	URI             string
}

func (s subject) day() (from, to time.Time) {
	from = s.From.Truncate(24 * time.Hour)
	return from, from.Add(24 * time.Hour)
}

func scan(ctx context.Context, r audit.Reader, s audit.Scan) (n int, err error) {
	for _, err := range r.Scan(ctx, s) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

const rfc = "2006-01-02T15:04:05.000000Z"

var questions = []question{
	{
		name: "user in namespace in 10 minutes", target: 20 * time.Millisecond,
		ask: func(ctx context.Context, r audit.Reader, s subject) (int, error) {
			return scan(ctx, r, audit.Scan{Filter: audit.Filter{Users: []string{s.User}, Namespaces: []string{s.Namespace}, From: s.From, To: s.From.Add(10 * time.Minute)}})
		},
		sql: func(s subject) string {
			return fmt.Sprintf("SELECT body FROM events WHERE user='%s' AND namespace='%s' AND time>=%d AND time<%d", s.User, s.Namespace, s.From.UnixMicro(), s.From.Add(10*time.Minute).UnixMicro())
		},
		duck: func(s subject) string {
			return fmt.Sprintf("SELECT * EXCLUDE (request_object, response_object) FROM audit WHERE user_name='%s' AND namespace='%s' AND stage_timestamp>='%s' AND stage_timestamp<'%s'", s.User, s.Namespace, s.From.Format(rfc), s.From.Add(10*time.Minute).Format(rfc))
		},
		jq: func(s subject) string {
			return fmt.Sprintf(`select(.user.username==%q and .objectRef.namespace==%q and .stageTimestamp>=%q and .stageTimestamp<%q)`, s.User, s.Namespace, s.From.Format(rfc), s.From.Add(10*time.Minute).Format(rfc))
		},
	},
	{
		name: "last 50 events of a user", target: 50 * time.Millisecond,
		ask: func(ctx context.Context, r audit.Reader, s subject) (int, error) {
			return scan(ctx, r, audit.Scan{Filter: audit.Filter{Users: []string{s.User}}, Order: audit.NewestFirst, Limit: 50})
		},
		sql: func(s subject) string {
			return fmt.Sprintf("SELECT body FROM events WHERE user='%s' ORDER BY time DESC LIMIT 50", s.User)
		},
		duck: func(s subject) string {
			return fmt.Sprintf("SELECT * EXCLUDE (request_object, response_object) FROM audit WHERE user_name='%s' ORDER BY stage_timestamp DESC LIMIT 50", s.User)
		},
		jq: func(s subject) string { return fmt.Sprintf(`select(.user.username==%q)`, s.User) },
	},
	{
		name: "Secret reads by group, all time", target: 300 * time.Millisecond,
		ask: func(ctx context.Context, r audit.Reader, _ subject) (int, error) {
			fields, err := query.ParseFields([]string{"group"})
			if err != nil {
				return 0, err
			}
			q := query.Query{Filter: audit.Filter{Resources: []string{"secrets"}, Verbs: []string{"get", "list", "watch"}}}
			counter, err := query.Count(ctx, r, q, fields, 0, nil)
			if err != nil {
				return 0, err
			}
			return len(counter.Counts(0).Groups), nil
		},
		sql: func(subject) string {
			return "SELECT groups, count(*) FROM events WHERE resource='secrets' AND verb IN ('get','list','watch') GROUP BY groups"
		},
		duck: func(subject) string {
			return "SELECT g, count(*) FROM (SELECT unnest(user_groups) g FROM audit WHERE resource='secrets' AND verb IN ('get','list','watch')) GROUP BY g"
		},
		jq: func(subject) string {
			return `select(.objectRef.resource=="secrets" and (.verb=="get" or .verb=="list" or .verb=="watch")) | .user.groups[]?`
		},
	},
	{
		name: "substring in requestURI over a day", target: 500 * time.Millisecond,
		ask: func(ctx context.Context, r audit.Reader, s subject) (int, error) {
			from, to := s.day()
			return scan(ctx, r, audit.Scan{Filter: audit.Filter{URIContains: s.URI, From: from, To: to}})
		},
		sql: func(s subject) string {
			from, to := s.day()
			return fmt.Sprintf("SELECT body FROM events WHERE time>=%d AND time<%d AND instr(uri,'%s')>0", from.UnixMicro(), to.UnixMicro(), s.URI)
		},
		duck: func(s subject) string {
			from, to := s.day()
			return fmt.Sprintf("SELECT * EXCLUDE (request_object, response_object) FROM audit WHERE stage_timestamp>='%s' AND stage_timestamp<'%s' AND contains(request_uri,'%s')", from.Format(rfc), to.Format(rfc), s.URI)
		},
		jq: func(s subject) string {
			from, to := s.day()
			return fmt.Sprintf(`select(.stageTimestamp>=%q and .stageTimestamp<%q and (.requestURI|contains(%q)))`, from.Format(rfc), to.Format(rfc), s.URI)
		},
	},
}

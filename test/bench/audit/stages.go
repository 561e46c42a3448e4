package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	_ "modernc.org/sqlite"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/record"
	"github.com/gatehouse-io/gatehouse/audit/redact"
	"github.com/gatehouse-io/gatehouse/audit/store"
	"github.com/gatehouse-io/gatehouse/test/bench/audit/events"
)

const seed = 1

// told is what a stage prints, as JSON.
type told struct {
	Events  int64
	Bytes   int64 // on disk, or of the log
	Subject subject
	// Took is for each question and run, Rows what the answers have.
	Took [][]time.Duration
	Rows []int
}

// runStage is what a process of its own does.
func runStage(stage string, args []string) error {
	stages := map[string]func([]string) (*told, error){"generate": generate, "append": appendEvents, "ask": ask, "sqlite": fillSQLite, "ask-sqlite": askSQLite}
	do, ok := stages[stage]
	if !ok {
		return fmt.Errorf("no stage %q", stage)
	}
	t, err := do(args)
	if err != nil {
		return fmt.Errorf("%s: %w", stage, err)
	}
	return json.NewEncoder(os.Stdout).Encode(t)
}

// generate writes a log as an API server does, compressed: FILE COUNT.
func generate(args []string) (*told, error) {
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return nil, err
	}
	f, err := os.Create(args[0])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	w, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, err
	}
	t := &told{}
	var line []byte
	for e := range events.Stream(events.Options{Seed: seed, Count: count}) {
		line = append(record.AppendJSON(line[:0], e), '\n')
		if _, err := w.Write(line); err != nil {
			return nil, err
		}
		t.Events++
		t.Bytes += int64(len(line))
		// The subject of the questions is a person in the middle of it all.
		if t.Subject.User == "" && int(t.Events) > count/2 && e.Namespace != "" && e.Verb == "get" && strings.Contains(e.User, "@") {
			t.Subject = subject{User: e.User, Namespace: e.Namespace, From: e.Time.Add(-5 * time.Minute).Truncate(time.Second).UTC(), URI: "labelSelector"}
		}
	}
	return t, errors.Join(w.Close(), f.Close())
}

// appendEvents is the way that events of a server go, without the making of JSON that
// there is none of: redact, and append in groups of 16, as many requests at once do: DIR COUNT.
func appendEvents(args []string) (*told, error) {
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return nil, err
	}
	s, err := store.Open(args[0], store.Options{SyncEvery: store.DefaultSyncEvery})
	if err != nil {
		return nil, err
	}
	key, err := redact.ReadOrMakeKey(args[0], strings.NewReader(strings.Repeat("bench", 8)))
	if err != nil {
		return nil, err
	}
	r := redact.New(redact.Options{Key: key})
	t := &told{}
	// The generator's own time is measured without the store, and taken off.
	if args[2] == "generator" {
		for range events.Stream(events.Options{Seed: seed, Count: count}) {
			t.Events++
		}
		return t, s.Close()
	}
	var group []*audit.Event
	for e := range events.Stream(events.Options{Seed: seed, Count: count}) {
		r.Event(e)
		if group = append(group, e); len(group) == 16 {
			if err := s.Append(context.Background(), group); err != nil {
				return nil, err
			}
			group = nil
		}
		t.Events++
	}
	return t, errors.Join(s.Append(context.Background(), group), s.Close())
}

// ask asks a store: DIR SUBJECT RUNS.
func ask(args []string) (*told, error) {
	about, runs, err := askArgs(args)
	if err != nil {
		return nil, err
	}
	s, err := store.OpenReader(args[0])
	if err != nil {
		return nil, err
	}
	defer s.Close()
	t := &told{}
	for _, q := range questions {
		var took []time.Duration
		rows := 0
		for range runs {
			begun := time.Now()
			if rows, err = q.ask(context.Background(), s, about); err != nil {
				return nil, fmt.Errorf("%s: %w", q.name, err)
			}
			took = append(took, time.Since(begun))
		}
		t.Took, t.Rows = append(t.Took, took), append(t.Rows, rows)
	}
	stats := s.Stats()
	t.Events, t.Bytes = stats.Events, stats.Bytes+stats.WALBytes+stats.CatalogBytes
	return t, nil
}

func askArgs(args []string) (s subject, runs int, err error) {
	if err := json.Unmarshal([]byte(args[1]), &s); err != nil {
		return s, 0, err
	}
	runs, err = strconv.Atoi(args[2])
	return s, runs, err
}

// fillSQLite makes the table that people make of a log: a column for what they ask by,
// indexes, and the line: DB LOG.
func fillSQLite(args []string) (*told, error) {
	db, err := sql.Open("sqlite", args[0]+"?_pragma=journal_mode(wal)&_pragma=synchronous(normal)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	for _, q := range []string{
		"CREATE TABLE events (time INTEGER, user TEXT, groups TEXT, verb TEXT, namespace TEXT, resource TEXT, name TEXT, code INTEGER, uri TEXT, body TEXT)",
		"CREATE INDEX by_time ON events(time)", "CREATE INDEX by_user ON events(user, time)", "CREATE INDEX by_namespace ON events(namespace, time)", "CREATE INDEX by_resource ON events(resource, verb, time)",
	} {
		if _, err := db.Exec(q); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(args[1])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 64<<20)
	t := &told{}
	for more := true; more; {
		tx, err := db.Begin()
		if err != nil {
			return nil, err
		}
		insert, err := tx.Prepare("INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?,?)")
		if err != nil {
			return nil, err
		}
		for range 10_000 {
			if more = lines.Scan(); !more {
				break
			}
			var e struct {
				Verb, RequestURI string
				StageTimestamp   time.Time
				User             struct {
					Username string
					Groups   []string
				}
				ObjectRef      struct{ Namespace, Resource, Name string }
				ResponseStatus struct{ Code int }
			}
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				return nil, err
			}
			if _, err := insert.Exec(e.StageTimestamp.UnixMicro(), e.User.Username, strings.Join(e.User.Groups, ","), e.Verb, e.ObjectRef.Namespace, e.ObjectRef.Resource, e.ObjectRef.Name, e.ResponseStatus.Code, e.RequestURI, lines.Text()); err != nil {
				return nil, err
			}
			t.Events++
		}
		if err := tx.Commit(); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if _, err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return nil, err
	}
	info, err := os.Stat(args[0])
	if err != nil {
		return nil, err
	}
	t.Bytes = info.Size()
	return t, nil
}

// askSQLite asks that table: DB SUBJECT RUNS.
func askSQLite(args []string) (*told, error) {
	about, runs, err := askArgs(args)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", args[0])
	if err != nil {
		return nil, err
	}
	defer db.Close()
	t := &told{}
	for _, q := range questions {
		var took []time.Duration
		n := 0
		for range runs {
			begun := time.Now()
			rows, err := db.Query(q.sql(about))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", q.name, err)
			}
			columns, err := rows.Columns()
			if err != nil {
				return nil, err
			}
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			for n = 0; rows.Next(); n++ {
				if err := rows.Scan(values...); err != nil {
					return nil, err
				}
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				return nil, err
			}
			took = append(took, time.Since(begun))
		}
		t.Took, t.Rows = append(t.Took, took), append(t.Rows, n)
	}
	return t, nil
}

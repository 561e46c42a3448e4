package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gatehouse-io/gatehouse/test/bench/page"
)

type options struct {
	gatehouse, duckdb, dir, page string
	events, peerEvents, runs     int
}

// usage is what a process cost.
type usage struct {
	took, cpu time.Duration
	peak      int64 // bytes resident, at most
}

// execute runs a process and measures it.
func execute(name string, args []string, env ...string) (out []byte, u usage, err error) {
	cmd := exec.Command(name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), env...)
	begun := time.Now()
	err = cmd.Run()
	u.took = time.Since(begun)
	if state := cmd.ProcessState; state != nil {
		u.cpu = state.UserTime() + state.SystemTime()
		if r, ok := state.SysUsage().(*syscall.Rusage); ok {
			u.peak = r.Maxrss << 10
		}
	}
	if err != nil {
		err = fmt.Errorf("run %s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, stderr.String())
	}
	return stdout.Bytes(), u, err
}

// stage runs a stage of this program in a process of its own.
func stage(name string, args ...string) (*told, usage, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, usage{}, err
	}
	out, u, err := execute(self, append([]string{"-stage", name}, args...))
	if err != nil {
		return nil, u, err
	}
	t := &told{}
	return t, u, json.Unmarshal(out, t)
}

func size(path string) (sum int64) {
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}

func run(o *options) error {
	load := page.LoadAverage()
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "gatehouse-bench-audit-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	var sides []*side
	for _, count := range slices.Compact([]int{o.peerEvents, o.events}) {
		say("%d events: the log", count)
		log := filepath.Join(o.dir, fmt.Sprintf("log-%d.json.zst", count))
		made, _, err := stage("generate", log, strconv.Itoa(count))
		if err != nil {
			return err
		}
		say("%d events: import", count)
		s, err := o.ours(made, log, count)
		if err != nil {
			return err
		}
		sides = append(sides, s...)
		if count == o.peerEvents {
			say("%d events: the peers", count)
			peers, err := o.peers(made, log, filepath.Join(o.dir, fmt.Sprintf("store-%d", count)))
			if err != nil {
				return err
			}
			sides = append(sides, peers...)
		}
		if err := os.Remove(log); err != nil {
			return err
		}
	}
	table := render(sides, o.peerEvents, o.events)
	fmt.Println(table)
	if o.page == "" {
		return nil
	}
	return page.Rewrite(o.page, "bench-audit", fmt.Sprintf("## The audit store beside jq, SQLite and DuckDB\n\n"+
		"- Date: %s\n- Versions: %s, modernc.org/sqlite v1.50.1, DuckDB v1.5.6\n- Machine: %s; load average before the run %s\n- Command: `make bench-audit`\n\n"+
		"The events are those of a busy cluster, made from a seed (`test/bench/audit/events`): ten million a week, at the levels of the built-in policy. Every side works in a process of its own, and CPU and the most memory are that process's. Questions are asked %d times, and the median counts; files are in the page cache.\n\n%s",
		time.Now().UTC().Format(time.DateOnly), runtime.Version(), page.Machine(), load, o.runs, table))
}

// side is one column of the tables.
type side struct {
	name   string
	events int64
	bytes  int64
	ingest usage
	asked  usage // of the process that asked, where it is one
	took   []time.Duration
	rows   []int
}

func medians(took [][]time.Duration) (all []time.Duration) {
	for _, t := range took {
		t = slices.Sorted(slices.Values(t))
		all = append(all, t[len(t)/2])
	}
	return all
}

func (o *options) ours(made *told, log string, count int) ([]*side, error) {
	about, err := json.Marshal(made.Subject)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(o.dir, fmt.Sprintf("store-%d", count))
	_, imported, err := execute(o.gatehouse, []string{"audit", "import", log, "--store", dir})
	if err != nil {
		return nil, err
	}
	answers, asked, err := stage("ask", dir, string(about), strconv.Itoa(o.runs))
	if err != nil {
		return nil, err
	}
	if answers.Events != made.Events {
		return nil, fmt.Errorf("the store has %d of %d events", answers.Events, made.Events)
	}
	// What a server does: there is no JSON to be read.
	other := dir + "-append"
	_, appended, err := stage("append", other, strconv.Itoa(count), "all")
	if err != nil {
		return nil, err
	}
	_, generated, err := stage("append", other+"-nothing", strconv.Itoa(count), "generator")
	if err != nil {
		return nil, err
	}
	appended.cpu -= generated.cpu
	if err := errors.Join(os.RemoveAll(other), os.RemoveAll(other+"-nothing")); err != nil {
		return nil, err
	}
	return []*side{
		{name: "gatehouse", events: made.Events, bytes: size(dir), ingest: imported, asked: asked, took: medians(answers.Took), rows: answers.Rows},
		{name: "gatehouse, as under serve", events: made.Events, ingest: appended},
	}, nil
}

func (o *options) peers(made *told, log, store string) ([]*side, error) {
	about, err := json.Marshal(made.Subject)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(log)
	if err != nil {
		return nil, err
	}
	jq := &side{name: "zstdcat, jq", events: made.Events, bytes: info.Size()}
	for _, q := range questions {
		out, u, err := execute("sh", []string{"-c", "zstdcat \"$0\" | jq -c \"$1\" | wc -l", log, q.jq(made.Subject)})
		if err != nil {
			return nil, err
		}
		rows, _ := strconv.Atoi(strings.TrimSpace(string(out)))
		jq.took, jq.rows, jq.asked = append(jq.took, u.took), append(jq.rows, rows), u
	}
	table := filepath.Join(o.dir, "events.db")
	filled, ingest, err := stage("sqlite", table, log)
	if err != nil {
		return nil, err
	}
	answers, asked, err := stage("ask-sqlite", table, string(about), strconv.Itoa(o.runs))
	if err != nil {
		return nil, err
	}
	all := []*side{jq, {name: "SQLite, indexed", events: filled.Events, bytes: filled.Bytes, ingest: ingest, asked: asked, took: medians(answers.Took), rows: answers.Rows}}
	if o.duckdb == "" {
		return all, nil
	}
	duck := &side{name: "DuckDB, over our segments", events: made.Events}
	var took [][]time.Duration
	for _, q := range questions {
		var runs []time.Duration
		rows := 0
		for range o.runs {
			n, t, u, err := askDuckDB(o.duckdb, filepath.Join(store, "segments", "*.parquet"), q.duck(made.Subject))
			if err != nil {
				return nil, err
			}
			rows, runs, duck.asked = n, append(runs, t), u
		}
		took, duck.rows = append(took, runs), append(duck.rows, rows)
	}
	duck.took = medians(took)
	return append(all, duck), nil
}

// askDuckDB asks one question, twice in one process: the second time counts, since the
// first reads the files' ends. Its answers are counted as they come, and not kept: what this
// process has in memory, Linux counts as that of each process it starts.
func askDuckDB(program, files, q string) (rows int, took time.Duration, u usage, err error) {
	cmd := exec.Command(program, "-files", files, "-time")
	cmd.Stdin = strings.NewReader(q + "\n" + q + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return 0, 0, u, fmt.Errorf("run DuckDB: %w", err)
	}
	answers := json.NewDecoder(stdout)
	for range 2 {
		if rows, err = countRows(answers); err != nil {
			break
		}
	}
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return 0, 0, u, fmt.Errorf("run DuckDB: %w\n%s", err, stderr.String())
	}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.peak = r.Maxrss << 10
	}
	times := strings.Fields(stderr.String())
	if len(times) != 2 {
		return 0, 0, u, fmt.Errorf("DuckDB told %d times", len(times))
	}
	took, err = time.ParseDuration(times[1])
	return rows, took, u, err
}

// countRows counts the rows of one answer, a list of lists.
func countRows(answers *json.Decoder) (n int, err error) {
	if _, err := answers.Token(); err != nil {
		return 0, err
	}
	for ; answers.More(); n++ {
		var row json.RawMessage
		if err := answers.Decode(&row); err != nil {
			return 0, err
		}
	}
	_, err = answers.Token()
	return n, err
}

// Command duckdb reads Parquet files with DuckDB and prints what a query of them gives:
// what audit/bucket has written is counted and summed by an engine that is not ours.
//
//	duckdb -files 'DIR/**/*.parquet' < queries.sql
//
// Each line of standard input is a query of the view audit; each line of standard output
// is its rows as JSON, a list of lists of texts. NULL is null.
package main

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
)

func main() {
	files := flag.String("files", "", "the Parquet files, as a glob")
	timed := flag.Bool("time", false, "print how long each query took on standard error")
	flag.Parse()
	if err := run(*files, *timed); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(files string, timed bool) error {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return fmt.Errorf("open duckdb: %w", err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // settings and views are a connection's
	for _, q := range []string{
		"SET TimeZone = 'UTC'",
		"SET threads = 1",
		"CREATE VIEW audit AS SELECT * FROM read_parquet('" + strings.ReplaceAll(files, "'", "''") + "', hive_partitioning = true)",
	} {
		if _, err := db.Exec(q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		begun := time.Now()
		rows, err := query(db, in.Text())
		if timed {
			fmt.Fprintln(os.Stderr, time.Since(begun))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", in.Text(), err)
		}
		if err := out.Encode(rows); err != nil {
			return err
		}
	}
	return nil
}

func query(db *sql.DB, q string) ([][]*string, error) {
	rows, err := db.Query(q)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	all := [][]*string{}
	for rows.Next() {
		values, to := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		row := make([]*string, len(names))
		for i, v := range values {
			if v != nil {
				s := fmt.Sprint(v)
				row[i] = &s
			}
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

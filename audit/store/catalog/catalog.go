package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
	_ "modernc.org/sqlite" // the driver
)

// version of the schema. Another one is thrown away and made again.
const version = 2

const schema = `
CREATE TABLE segments (segment INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
	events INTEGER NOT NULL, bytes INTEGER NOT NULL, facts BLOB NOT NULL, counts BLOB NOT NULL);
CREATE TABLE requests (segment INTEGER NOT NULL, pack INTEGER NOT NULL, entries BLOB NOT NULL,
	PRIMARY KEY (segment, pack));
PRAGMA user_version = 2;`

// Catalog is an open catalog. It is safe for concurrent use.
type Catalog struct {
	db      *sql.DB
	decoder *zstd.Decoder
}

// ErrDamaged says that a catalog cannot be used, and is to be made again.
var ErrDamaged = errors.New("the catalog is damaged, missing or of another version")

// Segment is a row of the table of segments.
type Segment struct {
	Number        uint64
	First, Last   time.Time
	Events, Bytes int64
}

// Open opens the catalog of a store for writing, and makes it where there is none.
func Open(path string) (*Catalog, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // the database and its log take this mode
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	info, err := file.Stat()
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	c, err := open(path, "rwc")
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		if _, err := c.db.Exec("PRAGMA auto_vacuum = FULL; PRAGMA journal_mode = WAL;" + schema); err != nil {
			return nil, errors.Join(fmt.Errorf("make catalog: %w", err), c.Close())
		}
	}
	if err := c.check(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// OpenReader opens a catalog that another process may be writing.
func OpenReader(path string) (*Catalog, error) {
	c, err := open(path, "ro")
	if err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func open(path, mode string) (*Catalog, error) {
	query := url.Values{"mode": {mode}, "_pragma": {"busy_timeout(5000)", "synchronous(NORMAL)", "cache_size(-2000)", "temp_store(MEMORY)", "journal_size_limit(1048576)"}}
	if mode == "rwc" {
		query["_txlock"] = []string{"immediate"}
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(2)
	decoder, err := newDecoder()
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", errors.Join(err, db.Close()))
	}
	return &Catalog{db: db, decoder: decoder}, nil
}

// check reads enough to see a file that is no catalog.
func (c *Catalog) check() error {
	var found int
	if err := c.db.QueryRow("PRAGMA user_version").Scan(&found); err != nil {
		return fmt.Errorf("open catalog: %w: %w", ErrDamaged, err)
	}
	if found != version {
		return fmt.Errorf("open catalog: %w: version %d, want %d", ErrDamaged, found, version)
	}
	return nil
}

// Close closes it, when nobody asks it any more.
func (c *Catalog) Close() error { return c.db.Close() }

// Put adds a segment with its distinct requests, and removes those it replaces. A segment
// that is there is replaced.
func (c *Catalog) Put(ctx context.Context, s Segment, summary *Summary, requests Source, removed []uint64) error {
	facts, err := json.Marshal(summary.Facts)
	if err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	p, err := newPacker()
	if err != nil {
		return err
	}
	defer p.encoder.Close()
	return c.change(ctx, append(removed, s.Number), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO segments VALUES (?,?,?,?,?,?,?)", int64(s.Number), s.First.UnixMicro(), s.Last.UnixMicro(), s.Events, s.Bytes,
			p.encoder.EncodeAll(facts, nil), p.packCounts(summary.Counts))
		if err != nil {
			return err
		}
		return p.put(ctx, tx, s.Number, requests)
	})
}

// put packs entries and inserts them.
func (p *packer) put(ctx context.Context, tx *sql.Tx, segment uint64, requests Source) error {
	entries, pack := make([]Entry, 0, entriesInPack), 0
	insert := func() error {
		_, err := tx.ExecContext(ctx, "INSERT INTO requests VALUES (?,?,?)", int64(segment), pack, p.pack(entries))
		entries, pack = entries[:0], pack+1
		return err
	}
	for e, err := range requests {
		if err != nil {
			return err
		}
		if entries = append(entries, *e); len(entries) == entriesInPack {
			if err := insert(); err != nil {
				return err
			}
		}
	}
	if len(entries) == 0 {
		return nil
	}
	return insert()
}

// Remove removes segments.
func (c *Catalog) Remove(ctx context.Context, segments []uint64) error {
	if len(segments) == 0 {
		return nil
	}
	return c.change(ctx, segments, func(*sql.Tx) error { return nil })
}

func (c *Catalog) change(ctx context.Context, removed []uint64, do func(*sql.Tx) error) error {
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	defer tx.Rollback()
	for _, n := range removed {
		for _, table := range [...]string{"segments", "requests"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE segment = ?", int64(n)); err != nil {
				return fmt.Errorf("write catalog: %w", err)
			}
		}
	}
	if err := do(tx); err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	return nil
}

// Checkpoint empties the log of the database, which would keep the size of the largest
// change. While somebody reads, nothing is done.
func (c *Catalog) Checkpoint(ctx context.Context) error {
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("checkpoint catalog: %w", err)
	}
	defer conn.Close()
	// It would otherwise wait for who reads.
	_, err = conn.ExecContext(ctx, "PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = 5000")
	if err != nil {
		return fmt.Errorf("checkpoint catalog: %w", err)
	}
	return nil
}

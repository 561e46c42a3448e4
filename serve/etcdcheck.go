package serve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

// checkStore reads an embedded store's write-ahead log and the database's place
// in it, and changes neither. etcd itself panics over a log that is damaged, and
// over one that has lost its end it starts, mends the log by cutting it, and then
// drops every write until the log is as long as it was: each of them would time
// out, and not be stored.
//
// begun is false of a store in which nothing was ever committed. With the log of a first
// start that was cut short before that, etcd waits without end for a leader of a cluster
// that has no member.
func checkStore(dir string) (begun bool, err error) {
	// A damaged page is read through a mapping: the fault is a panic like others.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			begun, err = true, fmt.Errorf("is damaged: %v", r)
		}
	}()
	applied, err := appliedIndex(filepath.Join(dir, "member", "snap", "db"))
	if err != nil {
		return true, err
	}
	last, committed, err := lastLogged(filepath.Join(dir, "member", "wal"))
	if err != nil {
		return true, err
	}
	if last < applied {
		return true, fmt.Errorf("its write-ahead log ends at entry %d, and the database holds %d", last, applied)
	}
	// The first entry of a log makes the first member, and is committed as it is written.
	return applied > 0 || committed > 0 || last > 1, nil
}

// appliedIndex is the number of the last entry of the log that is in the
// database; 0 where there is none yet.
func appliedIndex(file string) (uint64, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return 0, nil // a first start that was cut short
	}
	if err != nil {
		return 0, err
	}
	db, err := bolt.Open(file, 0o600, &bolt.Options{ReadOnly: true, Timeout: 5 * time.Second})
	if err != nil {
		return 0, fmt.Errorf("open database %s: %w", file, err)
	}
	defer db.Close()
	var index uint64
	err = db.View(func(tx *bolt.Tx) error {
		// go.etcd.io/etcd/server/v3/storage/schema: bucket and key of the
		// consistent index, a big-endian number.
		if meta := tx.Bucket([]byte("meta")); meta != nil {
			if raw := meta.Get([]byte("consistent_index")); len(raw) == 8 {
				index = binary.BigEndian.Uint64(raw)
			}
		}
		return nil
	})
	return index, err
}

// lastLogged is the number of the last entry of the log, and of the last that is
// known to be committed; 0 where there is none. A record at the very end that is only
// half written was never acknowledged, and does not count.
func lastLogged(dir string) (last, committed uint64, err error) {
	if !wal.Exist(dir) {
		return 0, 0, nil
	}
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), dir)
	if err == nil && len(snapshots) == 0 {
		err = wal.ErrSnapshotNotFound
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read write-ahead log: %w", err)
	}
	from := snapshots[len(snapshots)-1]
	log, err := wal.OpenForRead(zap.NewNop(), dir, from)
	if err != nil {
		return 0, 0, fmt.Errorf("open write-ahead log: %w", err)
	}
	defer log.Close()
	_, state, entries, err := log.ReadAll()
	if err != nil {
		return 0, 0, fmt.Errorf("read write-ahead log: %w", err)
	}
	if n := len(entries); n > 0 {
		return entries[n-1].GetIndex(), state.GetCommit(), nil
	}
	return from.GetIndex(), max(from.GetIndex(), state.GetCommit()), nil
}

package queue

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// write writes what is in memory alone, and forces it to the disk: one write and one sync,
// however much that is. It is called with the lock held.
func (j *Journal) write() error {
	var out []byte
	if j.torn {
		out = append(out, '\n')
	}
	at := map[uint64]place{}
	for _, id := range slices.Sorted(maps.Keys(j.unsaved)) {
		p := j.places[id]
		at[id] = place{offset: j.size + int64(len(out)), length: p.length}
		out = append(out, p.text...)
	}
	if len(j.gone) > 0 {
		text, err := formatLine(line{Gone: j.gone})
		if err != nil {
			return fmt.Errorf("write queue: %w", err)
		}
		out = append(out, text...)
	}
	if len(at) == 0 && len(j.gone) == 0 {
		return nil
	}
	n, err := j.file.Write(out)
	j.size += int64(n)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.torn = true // a part of it may be there; the rest is written again as a whole
		return fmt.Errorf("write queue: %w", err)
	}
	j.torn, j.gone = false, nil
	for id, p := range at {
		j.places[id] = p
		j.live += int64(p.length)
	}
	clear(j.unsaved)
	if j.size > compactAbove && j.live < j.size/2 {
		return j.compact()
	}
	return nil
}

// compact writes the file anew with what is there. Where it fails the old one stays in use.
func (j *Journal) compact() error {
	name := j.path + ".new"
	fresh, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write queue anew: %w", err)
	}
	places, size, err := j.copyTo(fresh)
	if err == nil {
		err = fresh.Sync()
	}
	if err == nil {
		err = os.Rename(name, j.path)
	}
	if err != nil {
		fresh.Close()
		os.Remove(name)
		return fmt.Errorf("write queue anew: %w", err)
	}
	j.file.Close()
	j.file, j.places, j.size, j.live = fresh, places, size, size
	if err := syncDir(filepath.Dir(j.path)); err != nil {
		return fmt.Errorf("write queue anew: %w", err)
	}
	return nil
}

func (j *Journal) copyTo(file *os.File) (map[uint64]place, int64, error) {
	out := bufio.NewWriterSize(file, 256<<10)
	places := make(map[uint64]place, len(j.places))
	var size int64
	for _, id := range slices.Sorted(maps.Keys(j.places)) {
		p := j.places[id]
		text, err := j.text(p)
		if err != nil {
			return nil, 0, err
		}
		if _, err := out.Write(text); err != nil {
			return nil, 0, err
		}
		places[id] = place{offset: size, length: p.length}
		size += int64(p.length)
	}
	return places, size, out.Flush()
}

// syncDir forces to the disk which files a folder has.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

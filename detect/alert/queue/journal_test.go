package queue

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func record(id uint64, body string) Record {
	text, _ := json.Marshal(body)
	return Record{ID: id, Meta: json.RawMessage(fmt.Sprintf(`{"n":%d}`, id)), Body: text}
}

// held is what a Journal has, by number.
func held(t *testing.T, path string) (map[uint64]string, *Journal) {
	t.Helper()
	j, records, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	got := map[uint64]string{}
	for _, r := range records {
		body, ok, err := j.Read(r.ID)
		var text string
		if err != nil || !ok || json.Unmarshal(body, &text) != nil || string(r.Meta) != fmt.Sprintf(`{"n":%d}`, r.ID) {
			t.Fatalf("record %d: %s %s %v", r.ID, r.Meta, body, err)
		}
		got[r.ID] = text
	}
	return got, j
}

// TestJournalIsAMap holds a Journal that is opened again and again against a map.
func TestJournalIsAMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	random := rand.New(rand.NewPCG(1, 2))
	want := map[uint64]string{}
	for round := range 30 {
		got, j := held(t, path)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("round %d: got %v, want %v", round, got, want)
		}
		for range random.IntN(20) {
			id := random.Uint64N(12)
			if random.IntN(3) == 0 {
				if err := j.Remove(id, id+1); err != nil {
					t.Fatal(err)
				}
				delete(want, id)
				delete(want, id+1)
				continue
			}
			body := strings.Repeat("\n\x00é", random.IntN(8000))
			if err := j.Put(record(id, body)); err != nil {
				t.Fatal(err)
			}
			want[id] = body
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() > 3<<20 {
		t.Errorf("%v %d bytes: it is not written anew", info.Mode(), info.Size())
	}
}

// TestTornAnywhere cuts the file at each byte: what stands before the cut is there.
func TestTornAnywhere(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	_, j := held(t, whole)
	ends := []int64{}
	for id := range uint64(4) {
		if err := j.Put(record(id, fmt.Sprint("body ", id))); err != nil {
			t.Fatal(err)
		}
		size, _ := j.Size()
		ends = append(ends, size)
	}
	j.Close()
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(data) + 1 {
		path := filepath.Join(dir, "cut")
		if err := os.WriteFile(path, data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		got, j := held(t, path)
		want := 0
		for _, end := range ends {
			if int64(cut) >= end {
				want++
			}
		}
		if _, damaged := j.Size(); len(got) != want || damaged != 0 {
			t.Fatalf("cut at %d: %d records, want %d; %d damaged", cut, len(got), want, damaged)
		}
		if err := j.Put(record(9, "after")); err != nil {
			t.Fatal(err)
		}
		j.Close()
		if got, j = held(t, path); len(got) != want+1 || got[9] != "after" {
			t.Fatalf("cut at %d: after it %v", cut, got)
		}
		j.Close()
	}
}

func TestDamagedInTheMiddle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	_, j := held(t, path)
	for id := range uint64(3) {
		if err := j.Put(record(id, "body")); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	data, _ := os.ReadFile(path)
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	got, j := held(t, path)
	defer j.Close()
	if _, damaged := j.Size(); len(got) != 2 || damaged != 1 {
		t.Errorf("%v, %d damaged", got, damaged)
	}
}

// TestFullDisk holds that what could not be written is written later.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	_, j := held(t, path)
	if err := j.Put(record(1, "before"), record(2, "before")); err != nil {
		t.Fatal(err)
	}
	good := j.file
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	j.file = full
	if err := j.Put(record(3, "while")); err == nil {
		t.Error("a full disk is no error")
	}
	if err := j.Remove(1); err == nil {
		t.Error("a full disk is no error")
	}
	if body, ok, err := j.Read(3); !ok || err != nil || string(body) != `"while"` {
		t.Errorf("%s %v", body, err)
	}
	full.Close()
	j.file = good
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	j.Close()
	got, j := held(t, path)
	defer j.Close()
	if fmt.Sprint(got) != "map[2:before 3:while]" {
		t.Errorf("got %v", got)
	}
}

// FuzzOpen holds that no file makes it panic, and that what it reads it reads again.
func FuzzOpen(f *testing.F) {
	good, _ := formatLine(line{Record: &Record{ID: 7, Meta: json.RawMessage(`{"n":7}`), Body: json.RawMessage(`"b"`)}})
	gone, _ := formatLine(line{Gone: []uint64{7}})
	f.Add(good)
	f.Add(append(good, gone...))
	f.Add(append(gone, good[:len(good)-3]...))
	f.Add([]byte("\n\n00000000 {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		j, records, err := OpenJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Put(Record{ID: 1 << 60, Body: json.RawMessage(`1`)}); err != nil {
			t.Fatal(err)
		}
		j.Close()
		j, again, err := OpenJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		want := len(records) + 1
		for _, r := range records {
			if r.ID == 1<<60 {
				want--
			}
		}
		if len(again) != want {
			t.Fatalf("%d records, then %d", len(records), len(again))
		}
	})
}

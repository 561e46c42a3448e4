package segment_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// readAll does with a file all that can be done, and is nil where nothing is wrong.
func readAll(data []byte) error {
	s, err := segment.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	s.Span()
	for _, scan := range []audit.Scan{
		{Bodies: true},
		{Order: audit.NewestFirst, Limit: 3},
		{Filter: audit.Filter{Users: []string{"jane"}, Groups: []string{"dev", "s*"}, Resources: []string{"pods/*", "secrets"}, Codes: []string{"2xx"}, URIContains: "shop"}},
		{Filter: audit.Filter{IDs: []string{"a"}, Names: []string{"*b"}, IPs: []string{"10.*"}, Decisions: []string{"", "allow"}}},
	} {
		for _, err := range s.Scan(context.Background(), scan) {
			if err != nil {
				return err
			}
		}
	}
	if err := s.Tally(context.Background(), audit.Filter{}, audit.FieldDay<<1-1, func(audit.Tallied) {}); err != nil {
		return err
	}
	for _, column := range []string{"user_name", "user_groups", "code", "decision"} {
		if err := s.Distinct(column, func(string) {}); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	_, err = segment.Join(context.Background(), &b, []*segment.Segment{s}, []segment.Digest{sha256.Sum256(data)})
	if s.RowGroups() == 0 && errors.Is(err, segment.ErrApart) {
		return nil
	}
	if err == nil {
		_, err = segment.Open(bytes.NewReader(b.Bytes()), int64(b.Len()))
	}
	return err
}

// A file in which any byte is another gives an error or events, and no panic.
func TestDamageIsAnError(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	_, _, whole := write(t, randomEvents(r, 300))
	footer := len(whole) - 8 - int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	errors := 0
	for i := range 3000 {
		data := bytes.Clone(whole)
		at := r.IntN(len(data))
		if i%2 == 0 {
			at = footer + r.IntN(len(data)-footer)
		}
		switch i % 3 {
		case 0:
			data[at] ^= 1 << r.IntN(8)
		case 1:
			data[at] = byte(r.UintN(256))
		case 2:
			for j := at; j < min(at+1+r.IntN(16), len(data)); j++ {
				data[j] = byte(r.UintN(256))
			}
		}
		if err := readAll(data); err != nil {
			errors++
			if strings.Contains(err.Error(), "runtime error") && i < 3 {
				t.Log(err)
			}
		}
	}
	t.Logf("%d of 3000 damaged files gave an error", errors)
	if errors < 1500 {
		t.Errorf("%d of 3000 damaged files gave an error", errors)
	}
}

func TestATornFileIsAnError(t *testing.T) {
	_, _, whole := write(t, randomEvents(rand.New(rand.NewPCG(7, 9)), 50))
	for n := range len(whole) {
		if n%7 == 0 && readAll(whole[:n]) == nil {
			t.Fatalf("the first %d of %d bytes are a file", n, len(whole))
		}
	}
	for _, data := range []string{"", "PAR1", "PAR1PAR1", "PAR1\x00\x00\x00\x00PAR1", "PAR1\xff\xff\xff\x7fPAR1", strings.Repeat("x", 100)} {
		if readAll([]byte(data)) == nil {
			t.Errorf("%q is a file", data)
		}
	}
}

// A page that says it is large does not get the room before it has shown to be.
func TestAClaimIsNotRoom(t *testing.T) {
	_, _, whole := write(t, randomEvents(rand.New(rand.NewPCG(7, 11)), 400))
	footer := len(whole) - 8 - int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const files = 300
	r := rand.New(rand.NewPCG(3, 3))
	for range files {
		data := bytes.Clone(whole)
		// Runs of bytes that a varint reads as a large number.
		at := footer + r.IntN(len(data)-footer-8)
		copy(data[at:], "\xff\xff\xff\xff\x07"[r.IntN(5):])
		_ = readAll(data)
	}
	runtime.ReadMemStats(&after)
	per := (after.TotalAlloc - before.TotalAlloc) / files
	t.Logf("%d KB a file of %d KB", per>>10, len(whole)>>10)
	if per > 64<<20 {
		t.Errorf("reading a damaged file of %d bytes takes %d bytes", len(whole), per)
	}
}

func FuzzRead(f *testing.F) {
	for seed := range uint64(3) {
		var b bytes.Buffer
		if _, err := segment.Write(&b, randomEvents(rand.New(rand.NewPCG(seed, 3)), []int{0, 3, 40}[seed])); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes(), 0, []byte(nil))
		f.Add(b.Bytes(), 100, []byte{0xff, 0xff, 0xff, 0xff, 7})
	}
	f.Fuzz(func(t *testing.T, data []byte, at int, change []byte) {
		data = bytes.Clone(data)
		if at >= 0 && at < len(data) {
			copy(data[at:], change)
		}
		_ = readAll(data) // no panic, which is what is asked
	})
}

package watch

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

const (
	// mostSeen is how many events are remembered as judged, and longestSeen for how long.
	mostSeen    = 32768
	longestSeen = 10 * time.Minute
)

// stamp is an event that has been judged.
type stamp struct {
	hash   uint64
	micros int64 // of its time
}

// seen tells which events have been judged, of those after floor. It is for one goroutine.
type seen struct {
	floor  int64 // in microseconds: the latest time of those that were forgotten
	hashes map[uint64]bool
	ring   []stamp // from head on, in the order they were judged
	head   int
	buffer []byte
}

func newSeen(floor time.Time) *seen {
	return &seen{floor: floor.UnixMicro(), hashes: map[uint64]bool{}}
}

// add notes an event, and reports whether it is new.
func (s *seen) add(e *audit.Event) bool {
	one := stamp{s.hash(e), e.Time.UnixMicro()}
	if s.hashes[one.hash] {
		return false
	}
	if len(s.ring) < mostSeen {
		s.ring = append(s.ring, one)
	} else {
		s.forget(s.ring[s.head])
		s.ring[s.head] = one
		s.head = (s.head + 1) % mostSeen
	}
	s.hashes[one.hash] = true
	return true
}

func (s *seen) forget(old stamp) {
	delete(s.hashes, old.hash)
	s.floor = max(s.floor, old.micros)
}

// hash is of the identity of an event. The time, which is the server's, comes first, so
// that no client can choose two events with one hash.
func (s *seen) hash(e *audit.Event) uint64 {
	b := binary.LittleEndian.AppendUint64(s.buffer[:0], uint64(e.Time.UnixMicro()))
	for _, text := range [...]string{e.ID, e.Stage, e.Verb, e.URI, e.User} {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	s.buffer = b
	sum := sha256.Sum256(b)
	return binary.LittleEndian.Uint64(sum[:])
}

// prune forgets what is older than longestSeen, so that little is written where little
// happens.
func (s *seen) prune(now time.Time) {
	oldest := now.Add(-longestSeen).UnixMicro()
	keep := make([]stamp, 0, len(s.ring))
	for i := range s.ring {
		one := s.ring[(s.head+i)%len(s.ring)]
		if one.micros < oldest {
			s.forget(one)
			continue
		}
		keep = append(keep, one)
	}
	s.ring, s.head = keep, 0
}

// text is what is remembered, in its order.
func (s *seen) text() string {
	b := make([]byte, 0, 16*len(s.ring))
	for i := range s.ring {
		one := s.ring[(s.head+i)%len(s.ring)]
		b = binary.LittleEndian.AppendUint64(b, one.hash)
		b = binary.LittleEndian.AppendUint64(b, uint64(one.micros))
	}
	return base64.StdEncoding.EncodeToString(b)
}

// readSeen reads what text wrote.
func readSeen(floor int64, text string) (*seen, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b)%16 != 0 || len(b)/16 > mostSeen {
		return nil, errors.New("the events that were judged are damaged")
	}
	s := &seen{floor: floor, hashes: map[uint64]bool{}}
	for ; len(b) > 0; b = b[16:] {
		one := stamp{binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint64(b[8:]))}
		s.hashes[one.hash] = true
		s.ring = append(s.ring, one)
	}
	return s, nil
}

// after is the time from which on what has not been seen has not been judged.
func (s *seen) after() time.Time { return time.UnixMicro(s.floor + 1).UTC() }

package detect

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// snapshotVersion is that of the form of a snapshot: lines of JSON. The first is a header,
// then one line a key or Finding, and the last says how many there were, so that a file that
// was cut is not taken for a whole one.
const snapshotVersion = 1

// line is one line of a snapshot: the fields of its kind are set.
type line struct {
	// Header.
	Version int              `json:"version,omitempty"`
	Now     time.Time        `json:"now,omitzero"`
	Started []startedRequest `json:"started,omitempty"`
	// A key.
	Rule     string          `json:"rule,omitempty"`
	Identity string          `json:"identity,omitempty"`
	Key      string          `json:"key,omitempty"`
	State    json.RawMessage `json:"state,omitempty"`
	// A Finding.
	Finding *Finding `json:"finding,omitempty"`
	// The end.
	Lines int `json:"lines,omitempty"`
}

const (
	// maxLine bounds one line, and maxLines how many there are.
	maxLine  = 8 << 20
	maxLines = 20 << 20
)

// Save writes what is remembered. It holds names from audit events: the file is for the
// same eyes as those.
func (s *State) Save(w io.Writer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	lines := 0
	write := func(l line) error {
		lines++
		return encoder.Encode(l)
	}
	started := append(append([]startedRequest(nil), s.startedRing[s.startedHead:]...), s.startedRing[:s.startedHead]...)
	if err := write(line{Version: snapshotVersion, Now: s.now, Started: started}); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	for _, r := range s.set.rules {
		m := s.memories[r]
		if m == nil {
			continue
		}
		if err := m.Each(func(key string, state json.RawMessage) error {
			return write(line{Rule: r.Name, Identity: r.identity, Key: key, State: state})
		}); err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
	}
	for _, f := range s.ledger.open {
		if err := write(line{Finding: f}); err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
	}
	if err := write(line{Lines: lines}); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// Load reads what Save wrote into a State that has seen nothing. What belongs to rules that
// are gone, or look for something else now, is left aside and counted. After an error
// the State has seen nothing.
func (s *State) Load(r io.Reader) (aside int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if aside, err = s.load(r); err != nil {
		s.memories, s.started, s.startedIDs, s.startedRing, s.startedHead, s.now = nil, map[uint64]bool{}, map[string]int{}, nil, 0, time.Time{}
		s.ledger.open, s.ledger.next = map[string]*Finding{}, time.Time{}
		s.replace(s.set)
		return 0, fmt.Errorf("read snapshot: %w", err)
	}
	return aside, nil
}

func (s *State) load(r io.Reader) (aside int, err error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	lines, whole := 0, false
	for scanner.Scan() {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			return 0, fmt.Errorf("line %d is damaged", lines+1) // the decoder's words would quote it
		}
		switch {
		case whole:
			return 0, fmt.Errorf("line %d comes after the last", lines+1)
		case lines == 0:
			if l.Version != snapshotVersion {
				return 0, fmt.Errorf("version %d is not %d", l.Version, snapshotVersion)
			}
			s.now = l.Now
			for _, id := range l.Started[max(0, len(l.Started)-maxStarted):] {
				s.remember(id)
			}
		case l.Lines != 0:
			if whole = l.Lines == lines; !whole {
				return 0, fmt.Errorf("%d lines are there, not %d", lines, l.Lines)
			}
		case l.Finding != nil:
			if len(s.ledger.open) >= s.ledger.most || l.Finding.Fingerprint == "" || l.Finding.Quiet <= 0 {
				aside++
				break
			}
			s.ledger.open[l.Finding.Fingerprint] = l.Finding
			if over := l.Finding.Last.Add(l.Finding.Quiet); s.ledger.next.IsZero() || over.Before(s.ledger.next) {
				s.ledger.next = over
			}
		default:
			rule := s.set.Rule(l.Rule)
			if rule == nil || rule.identity != l.Identity || rule.operator == nil {
				aside++
				break
			}
			m := s.memories[rule]
			before := m.Size()
			if err := m.Put(l.Key, l.State); err != nil {
				return 0, fmt.Errorf("line %d: rule %s: what it remembers is damaged", lines+1, rule.Name)
			}
			if s.size += m.Size() - before; s.size > s.opts.Numbers {
				s.forget()
			}
		}
		if lines++; lines > maxLines {
			return 0, fmt.Errorf("more than %d lines", maxLines)
		}
	}
	if err := scanner.Err(); err != nil {
		return 0, err
	}
	if !whole {
		return 0, fmt.Errorf("it ends after %d lines", lines)
	}
	return aside, nil
}

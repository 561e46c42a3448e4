package main

import (
	"fmt"
	"strings"
	"time"
)

// Targets of the store, with all events.
const (
	targetBytes  = 80
	targetRate   = 100_000
	targetMemory = 300 << 20
)

// render makes the tables: what it costs to have the events, and how long answers take.
func render(sides []*side, peerEvents, events int) string {
	var b strings.Builder
	b.WriteString("| | events | bytes an event | target | events a CPU second | target | most memory, ingest | most memory, asked | target |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range sides {
		row := []string{s.name, number(s.events), "", "", "", "", "", "", ""}
		full := s.events == int64(events) && strings.HasPrefix(s.name, "gatehouse")
		if s.bytes > 0 {
			per := float64(s.bytes) / float64(s.events)
			row[2] = fmt.Sprintf("%.1f", per)
			if full {
				row[3] = met(per <= targetBytes, "≤ 80")
			}
		}
		if s.ingest.cpu > 0 {
			rate := float64(s.events) / s.ingest.cpu.Seconds()
			row[4], row[6] = number(int64(rate)), megabytes(s.ingest.peak)
			if full {
				row[5] = met(rate >= targetRate, "≥ 100,000")
			}
		}
		if s.asked.peak > 0 {
			row[7] = megabytes(s.asked.peak)
		}
		if full {
			row[8] = met(max(s.asked.peak, s.ingest.peak) <= targetMemory, "≤ 300 MB")
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	var ours, peers []*side
	var full *side
	for _, s := range sides {
		switch {
		case s.took == nil:
		case s.name != "gatehouse":
			peers = append(peers, s)
		case s.events == int64(events):
			full = s
			fallthrough
		default:
			ours = append(ours, s)
		}
	}
	b.WriteString("\n| question | rows | gatehouse")
	if full != nil {
		fmt.Fprintf(&b, ", %s | target", number(full.events))
	}
	fmt.Fprintf(&b, " | gatehouse, %s", number(int64(peerEvents)))
	for _, p := range peers {
		fmt.Fprintf(&b, " | %s | ratio", p.name)
	}
	b.WriteString(" |\n|---|---|---|---|---" + strings.Repeat("|---|---", len(peers)) + "|\n")
	for i, q := range questions {
		fmt.Fprintf(&b, "| %s", q.name)
		if full != nil {
			fmt.Fprintf(&b, " | %d | %s | %s", full.rows[i], short(full.took[i]), met(full.took[i] <= q.target, "≤ "+short(q.target)))
		}
		small := ours[0]
		fmt.Fprintf(&b, " | %s", short(small.took[i]))
		for _, p := range peers {
			fmt.Fprintf(&b, " | %s | %.3g", short(p.took[i]), float64(p.took[i])/float64(small.took[i]))
		}
		b.WriteString(" |\n")
	}
	b.WriteString("\nA ratio is the peer's time over gatehouse's with as many events: how many times faster.\n")
	return b.String()
}

func met(ok bool, target string) string {
	if ok {
		return target + ", met"
	}
	return target + ", **missed**"
}

func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.3g s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.3g µs", float64(d)/float64(time.Microsecond))
}

func megabytes(n int64) string { return fmt.Sprintf("%d MB", n/1e6) }

// number has commas.
func number(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

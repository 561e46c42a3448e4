package guard

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // one static binary runs where there is no zoneinfo, and a Guard means the same everywhere

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// window is a GuardWindow, compiled.
type window struct {
	// notBefore and notAfter limit the window; zero: no limit.
	notBefore, notAfter time.Time

	// daily says that days, start and end count; otherwise the instants alone do.
	daily bool

	// zone is where days, start and end are read from the clock on the wall.
	zone *time.Location

	// days on which the window opens, by time.Weekday.
	days [7]bool

	// start and end are minutes of the day. Where end lies before start, the
	// window closes on the next day.
	start, end int
}

func newWindow(w *v1alpha1.GuardWindow) (window, error) {
	var out window
	for _, t := range []struct {
		name string
		from interface{ IsZero() bool }
		set  bool
	}{{"notBefore", w.NotBefore, w.NotBefore != nil}, {"notAfter", w.NotAfter, w.NotAfter != nil}} {
		if t.set && t.from.IsZero() {
			return out, fmt.Errorf("%s: is not a time", t.name)
		}
	}
	if w.NotBefore != nil {
		out.notBefore = w.NotBefore.Time
	}
	if w.NotAfter != nil {
		out.notAfter = w.NotAfter.Time
	}
	if w.NotBefore != nil && w.NotAfter != nil && !out.notBefore.Before(out.notAfter) {
		return out, errors.New("notAfter: must lie after notBefore")
	}
	out.daily = len(w.Days) > 0 || w.Start != "" || w.End != ""
	if !out.daily && w.NotBefore == nil && w.NotAfter == nil {
		return out, errors.New("set at least one of days, start, end, notBefore and notAfter")
	}
	return out, out.readDaily(w)
}

func (w *window) readDaily(from *v1alpha1.GuardWindow) error {
	// The host's own zone would make replicas disagree.
	if strings.EqualFold(from.TimeZone, "Local") {
		return errors.New("timeZone: Local is not the same on every host; name a zone, such as Europe/Berlin")
	}
	var err error
	if w.zone, err = time.LoadLocation(from.TimeZone); err != nil {
		return fmt.Errorf("timeZone: %w", err)
	}
	for _, day := range from.Days {
		at, ok := weekday(string(day))
		if !ok {
			return fmt.Errorf("days: %q is not a day; the first is Monday", day)
		}
		w.days[at] = true
	}
	if len(from.Days) == 0 {
		w.days = [7]bool{true, true, true, true, true, true, true}
	}
	if w.start, err = minutes(from.Start, 0, 24*60-1); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if w.end, err = minutes(from.End, 24*60, 24*60); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	if w.start == w.end {
		return errors.New("start and end are the same; leave both out for the whole day")
	}
	return nil
}

// open reports that the window is open at an instant.
func (w *window) open(now time.Time) bool {
	if !w.notBefore.IsZero() && now.Before(w.notBefore) || !w.notAfter.IsZero() && !now.Before(w.notAfter) {
		return false
	}
	if !w.daily {
		return true
	}
	local := now.In(w.zone)
	today := local.Weekday()
	minute := local.Hour()*60 + local.Minute()
	if w.start < w.end {
		return w.days[today] && minute >= w.start && minute < w.end
	}
	return w.days[today] && minute >= w.start || w.days[(today+6)%7] && minute < w.end
}

func weekday(name string) (time.Weekday, bool) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if d.String() == name {
			return d, true
		}
	}
	return 0, false
}

// minutes reads HH:MM into minutes of the day, at most most; empty is absent.
func minutes(text string, absent, most int) (int, error) {
	if text == "" {
		return absent, nil
	}
	var digits [4]int
	if len(text) != 5 || text[2] != ':' {
		return 0, fmt.Errorf("%q is not a time of day as in 09:30", text)
	}
	for i, c := range []byte{text[0], text[1], text[3], text[4]} {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%q is not a time of day as in 09:30", text)
		}
		digits[i] = int(c - '0')
	}
	hour, minute := digits[0]*10+digits[1], digits[2]*10+digits[3]
	if minute > 59 || hour*60+minute > most {
		return 0, fmt.Errorf("%q is not a time of day as in 09:30", text)
	}
	return hour*60 + minute, nil
}

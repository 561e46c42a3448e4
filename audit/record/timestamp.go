package record

import "time"

// layout is how upstream writes a timestamp: metav1.RFC3339Micro.
const layout = "2006-01-02T15:04:05.000000Z07:00"

// parseTime reads a timestamp of RFC 3339 to the microsecond, in UTC. What upstream
// writes is read without time.Parse, which would be a quarter of the time an event takes.
func parseTime(b []byte) (time.Time, bool) {
	if t, ok := parseMicro(b); ok {
		return t, true
	}
	t, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return time.Time{}, false
	}
	return t.UTC().Truncate(time.Microsecond), true
}

// parseMicro reads 2006-01-02T15:04:05.000000Z.
func parseMicro(b []byte) (time.Time, bool) {
	const shape = "0000-00-00T00:00:00.000000Z"
	if len(b) != len(shape) {
		return time.Time{}, false
	}
	for i := range len(shape) {
		if shape[i] == '0' && (b[i] < '0' || b[i] > '9') || shape[i] != '0' && b[i] != shape[i] {
			return time.Time{}, false
		}
	}
	n := func(from, to int) (n int) {
		for _, c := range b[from:to] {
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day, hour, minute, second := n(0, 4), n(5, 7), n(8, 10), n(11, 13), n(14, 16), n(17, 19)
	if month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, n(20, 26)*1000, time.UTC)
	return t, t.Day() == day // not the 30th of February
}

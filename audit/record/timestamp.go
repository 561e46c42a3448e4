package record

import "time"

// layout is how upstream writes a timestamp: metav1.RFC3339Micro.
const layout = "2006-01-02T15:04:05.000000Z07:00"

// clock reads timestamps of RFC 3339 to the microsecond, in UTC. What upstream writes is
// read without time.Parse, and remembers the day, which is that of the last event.
type clock struct {
	day      [len("2006-01-02")]byte
	midnight int64 // of day, in seconds since 1970
}

func (c *clock) parse(b []byte) (time.Time, bool) {
	if t, ok := c.micro(b); ok {
		return t, true
	}
	t, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return time.Time{}, false
	}
	return t.UTC().Truncate(time.Microsecond), true
}

// micro reads 2006-01-02T15:04:05.000000Z.
func (c *clock) micro(b []byte) (time.Time, bool) {
	if len(b) != len("2006-01-02T15:04:05.000000Z") || b[10] != 'T' || b[13] != ':' || b[16] != ':' || b[19] != '.' || b[26] != 'Z' {
		return time.Time{}, false
	}
	hour, minute, second := two(b[11:]), two(b[14:]), two(b[17:])
	fraction := two(b[20:])*10_000 + two(b[22:])*100 + two(b[24:])
	if hour > 23 || minute > 59 || second > 59 || fraction > 999_999 {
		return time.Time{}, false
	}
	if string(b[:10]) != string(c.day[:]) && !c.begin(b[:10]) {
		return time.Time{}, false
	}
	return time.Unix(c.midnight+int64(hour*3600+minute*60+second), int64(fraction)*1000).UTC(), true
}

// begin begins another day.
func (c *clock) begin(b []byte) bool {
	century, year, month, day := two(b), two(b[2:]), two(b[5:]), two(b[8:])
	if b[4] != '-' || b[7] != '-' || century > 99 || year > 99 || month < 1 || month > 12 || day < 1 || day > 31 {
		return false
	}
	t := time.Date(century*100+year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if t.Day() != day {
		return false // the 30th of February
	}
	copy(c.day[:], b)
	c.midnight = t.Unix()
	return true
}

// two is the number that two digits are; more than any six digits make where one is none.
func two(b []byte) int {
	tens, ones := b[0]-'0', b[1]-'0'
	if tens > 9 || ones > 9 {
		return 1 << 30
	}
	return int(tens)*10 + int(ones)
}

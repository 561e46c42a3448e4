package segment

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// levels are the repetition or definition levels of the entries of a page. Those of most
// pages are all the same, and only counted.
type levels struct {
	n     int
	first byte
	all   []byte // where they differ
}

func (l *levels) add(level byte) {
	switch {
	case len(l.all) > 0:
		l.all = append(l.all, level)
	case l.n == 0:
		l.first = level
	case level != l.first:
		for range l.n {
			l.all = append(l.all, l.first)
		}
		l.all = append(l.all, level)
	}
	l.n++
}

// count is how many of them are a level.
func (l *levels) count(level byte) int {
	switch {
	case len(l.all) > 0:
		return bytes.Count(l.all, []byte{level})
	case l.first == level:
		return l.n
	}
	return 0
}

func (l *levels) reset() { l.n, l.all = 0, l.all[:0] }

// appendTo appends them behind their length.
func (l *levels) appendTo(to []byte, most byte) []byte {
	start := len(to)
	to = append(to, 0, 0, 0, 0)
	if len(l.all) == 0 {
		to = append(binary.AppendUvarint(to, uint64(l.n)<<1), l.first)
	} else {
		to = appendPacked(to, l.all, bits.Len8(most))
	}
	binary.LittleEndian.PutUint32(to[start:], uint32(len(to)-start-4))
	return to
}

// appendIndexes appends numbers of a dictionary, behind how many bits each has.
func appendIndexes(to []byte, all []int32) []byte {
	if len(all) == 0 {
		return append(to, 0)
	}
	most, same := all[0], true
	for _, n := range all {
		most, same = max(most, n), same && n == all[0]
	}
	width := bits.Len32(uint32(most))
	to = append(to, byte(width))
	if !same {
		return appendPacked(to, all, width)
	}
	to = binary.AppendUvarint(to, uint64(len(all))<<1)
	for i := range (width + 7) / 8 {
		to = append(to, byte(most>>(8*i)))
	}
	return to
}

// appendPacked appends numbers as one run of packed bits, in Parquet's mix of runs and
// packed bits. Runs of what comes again are not looked for: one page would have thousands
// of them, among which a reader would look for the one that it needs.
func appendPacked[N byte | int32](to []byte, all []N, width int) []byte {
	to = binary.AppendUvarint(to, uint64(len(all)+7)/8<<1|1)
	end := len(to) + (len(all)+7)/8*width
	var word uint64
	bit := 0
	for _, n := range all {
		word |= uint64(n) << bit
		if bit += width; bit >= 32 {
			to = binary.LittleEndian.AppendUint32(to, uint32(word))
			word >>= 32
			bit -= 32
		}
	}
	for len(to) < end {
		to = append(to, byte(word))
		word >>= 8
	}
	return to[:end]
}

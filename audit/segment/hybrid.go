package segment

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

var errHybrid = errors.New("its run lengths do not fit its values")

// runs are numbers in Parquet's mix of runs and packed bits. They stay packed: any of them
// can be had, and all be unpacked, and those that equal target can be counted and found.
type runs struct {
	width  int
	n      int // how many numbers
	target uint32
	data   []byte
	list   []run
	last   int // the run that was asked for last
}

// run is one run: a value that comes again, or packed values.
type run struct {
	first  int32 // which number of all is its first
	before int32 // how many before it equal target
	at     int32 // where its packed values are; -1 for a value that comes again
	value  uint32
}

// parse finds the runs of n numbers.
func (r *runs) parse(data []byte, width, n int, target uint32) error {
	r.width, r.n, r.target, r.data, r.list, r.last = width, n, target, data, r.list[:0], 0
	if width < 0 || width > 32 {
		return errHybrid
	}
	before := int32(0)
	if width == 0 {
		r.list = append(r.list, run{at: -1})
		return nil
	}
	bytes := (width + 7) / 8
	for first, at := 0, 0; first < n; {
		head, used := binary.Uvarint(data[at:])
		if used <= 0 {
			return errHybrid
		}
		at += used
		next := run{first: int32(first), before: before, at: -1}
		if head&1 == 0 {
			if head>>1 == 0 || len(data)-at < bytes {
				return errHybrid
			}
			for i := range bytes {
				next.value |= uint32(data[at+i]) << (8 * i)
			}
			at += bytes
			take := int(min(head>>1, uint64(n-first)))
			if next.value == target {
				before += int32(take)
			}
			first += take
		} else {
			groups := head >> 1
			if groups == 0 || groups > uint64(len(data)-at)/uint64(width)+1 {
				return errHybrid
			}
			next.at = int32(at)
			size := min(int(groups)*width, len(data)-at) // the last group may be cut short
			take := min(int(groups)*8, n-first)
			if take*width > size*8 {
				return errHybrid
			}
			at += size
			first += take
			if width <= 2 {
				before = r.split(next, take)
				continue
			}
		}
		r.list = append(r.list, next)
	}
	return nil
}

// countedRun is how many numbers of levels are counted together: to find one, no more than
// these are looked at.
const countedRun = 256

// split adds a run of packed levels as several, so that what is before each is counted.
func (r *runs) split(of run, n int) (before int32) {
	for n > 0 {
		r.list = append(r.list, of)
		take := min(n, countedRun)
		of.before += int32(countPacked(r.data[of.at:], r.width, take, r.target))
		of.first += int32(take)
		of.at += int32(take * r.width / 8)
		n -= take
	}
	return of.before
}

// runOf is the run that has a number.
func (r *runs) runOf(i int) int {
	end := func(k int) int {
		if k+1 < len(r.list) {
			return int(r.list[k+1].first)
		}
		return r.n
	}
	if i >= int(r.list[r.last].first) && i < end(r.last) {
		return r.last
	}
	low, high := 0, len(r.list)
	for low+1 < high {
		middle := (low + high) / 2
		if int(r.list[middle].first) <= i {
			low = middle
		} else {
			high = middle
		}
	}
	r.last = low
	return low
}

// get is a number.
func (r *runs) get(i int) uint32 {
	k := &r.list[0]
	if len(r.list) > 1 {
		k = &r.list[r.runOf(i)]
	}
	if k.at < 0 {
		return k.value
	}
	return uint32(bitsAt(r.data[k.at:], (i-int(k.first))*r.width, r.width))
}

// rank is how many numbers before one equal target.
func (r *runs) rank(i int) int {
	if i <= 0 {
		return 0
	}
	k := &r.list[r.runOf(i-1)]
	of := i - int(k.first)
	if k.at >= 0 {
		return int(k.before) + countPacked(r.data[k.at:], r.width, of, r.target)
	}
	if k.value == r.target {
		return int(k.before) + of
	}
	return int(k.before)
}

// places appends where the numbers are that equal target.
func (r *runs) places(dst []int32) []int32 {
	for i := range r.list {
		k := &r.list[i]
		end := r.n
		if i+1 < len(r.list) {
			end = int(r.list[i+1].first)
		}
		if k.at < 0 {
			for at := int(k.first); at < end && k.value == r.target; at++ {
				dst = append(dst, int32(at))
			}
			continue
		}
		packed := r.data[k.at:]
		for at := int(k.first); at < end; at += 32 {
			// Each number is a word of two bits at most, of which the lower is set where it
			// equals target.
			here := min(32, end-at)
			word := equal(packed, (at-int(k.first))*r.width, r.width, here, r.target)
			for word != 0 {
				dst = append(dst, int32(at+bits.TrailingZeros64(word)/r.width))
				word &= word - 1
			}
		}
	}
	return dst
}

// equal has the lowest bit set of each of n packed numbers from a bit on that equals
// target; they have one bit or two, and are no more than 32.
func equal(packed []byte, bit, width, n int, target uint32) uint64 {
	word := bitsAt(packed, bit, n*width)
	switch {
	case width == 1 && target == 0:
		word = ^word
	case width == 1:
	case target == 0:
		word = ^(word | word>>1) & lowBits
	case target == 1:
		word = word &^ (word >> 1) & lowBits
	case target == 2:
		word = (word >> 1) &^ word & lowBits
	default:
		word = word & (word >> 1) & lowBits
	}
	if n*width < 64 {
		word &= 1<<(n*width) - 1
	}
	return word
}

// lowBits are the lower ones of all numbers of two bits.
const lowBits = 0x5555555555555555

// all appends all numbers.
func (r *runs) all(dst []uint32) []uint32 {
	for i := range r.list {
		k := &r.list[i]
		end := r.n
		if i+1 < len(r.list) {
			end = int(r.list[i+1].first)
		}
		n := end - int(k.first)
		if k.at >= 0 {
			dst = unpack(dst, r.data[k.at:], r.width, n)
			continue
		}
		for range n {
			dst = append(dst, k.value)
		}
	}
	return dst
}

// countPacked is how many of the first n packed numbers equal target; they have one bit or
// two.
func countPacked(packed []byte, width, n int, target uint32) int {
	count := 0
	for at := 0; at < n; at += 32 {
		count += bits.OnesCount64(equal(packed, at*width, width, min(32, n-at), target))
	}
	return count
}

// unpack appends n numbers of packed bits, which has enough of them.
func unpack(dst []uint32, packed []byte, width, n int) []uint32 {
	mask := uint64(1)<<width - 1
	at := len(dst)
	dst = append(dst, make([]uint32, n)...)
	out := dst[at:]
	bit, i := 0, 0
	for ; i < n && bit>>3+8 <= len(packed); i++ {
		out[i] = uint32(binary.LittleEndian.Uint64(packed[bit>>3:]) >> (bit & 7) & mask)
		bit += width
	}
	for ; i < n; i++ {
		out[i] = uint32(bitsAt(packed, bit, width))
		bit += width
	}
	return dst
}

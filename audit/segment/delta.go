package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errDelta = errors.New("its differences do not fit its numbers")

// deltas decodes n numbers of Parquet's encoding DELTA_BINARY_PACKED, and appends them to
// dst.
func deltas(dst []int64, data []byte, n int) ([]int64, error) {
	var head [3]uint64 // numbers in a block, small blocks in a block, numbers in all
	for i := range head {
		v, used := binary.Uvarint(data)
		if used <= 0 {
			return dst, errDelta
		}
		head[i], data = v, data[used:]
	}
	value, used := binary.Varint(data)
	if used <= 0 || head[1] == 0 || head[1] > 256 || head[0] == 0 || head[0] > 1<<16 || head[0]%(head[1]*8) != 0 {
		return dst, errDelta
	}
	if head[2] != uint64(n) {
		return dst, fmt.Errorf("it has %d numbers, and says that it has %d", head[2], n)
	}
	data = data[used:]
	if n == 0 {
		return dst, nil
	}
	small, each := int(head[1]), int(head[0]/head[1])
	dst = append(dst, value)
	for left := n - 1; left > 0; {
		least, used := binary.Varint(data)
		if used <= 0 || len(data)-used < small {
			return dst, errDelta
		}
		widths := data[used : used+small]
		data = data[used+small:]
		for i := 0; i < small && left > 0; i++ {
			width := int(widths[i])
			take := min(each, left)
			if width > 64 || len(data)*8 < take*width {
				return dst, errDelta
			}
			j := 0
			if width <= 56 { // a number and what is before it in its first byte fit in a word
				mask := uint64(1)<<width - 1
				for bit := 0; j < take && bit>>3+8 <= len(data); j++ {
					value += least + int64(binary.LittleEndian.Uint64(data[bit>>3:])>>(bit&7)&mask)
					dst = append(dst, value)
					bit += width
				}
			}
			for ; j < take; j++ {
				value += least + int64(bitsAt(data, j*width, width))
				dst = append(dst, value)
			}
			left -= take
			data = data[min(len(data), each*width/8):]
		}
	}
	return dst, nil
}

// bitsAt is the number of so many bits that begins at a bit.
func bitsAt(data []byte, bit, width int) uint64 {
	if width == 0 {
		return 0
	}
	at, shift := bit>>3, bit&7
	var word uint64
	if at+8 <= len(data) {
		word = binary.LittleEndian.Uint64(data[at:]) >> shift
	} else {
		for i, b := range data[at:] {
			word |= uint64(b) << (8 * i)
		}
		word >>= shift
	}
	if width+shift > 64 {
		word |= uint64(data[at+8]) << (64 - shift)
	}
	if width == 64 {
		return word
	}
	return word & (1<<width - 1)
}

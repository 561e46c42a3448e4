package segment

import (
	"encoding/binary"
	"errors"
)

var errHybrid = errors.New("its run lengths do not fit its values")

// hybrid decodes n numbers of so many bits from Parquet's mix of runs and packed bits,
// and appends them to dst.
func hybrid(dst []uint32, data []byte, width, n int) ([]uint32, error) {
	if width < 0 || width > 32 {
		return dst, errHybrid
	}
	if width == 0 {
		for range n {
			dst = append(dst, 0)
		}
		return dst, nil
	}
	mask := uint64(1)<<width - 1
	bytes := (width + 7) / 8
	for n > 0 {
		head, used := binary.Uvarint(data)
		if used <= 0 {
			return dst, errHybrid
		}
		data = data[used:]
		if head&1 == 0 {
			count := head >> 1
			if count == 0 || len(data) < bytes {
				return dst, errHybrid
			}
			var value uint32
			for i := range bytes {
				value |= uint32(data[i]) << (8 * i)
			}
			data = data[bytes:]
			take := int(min(count, uint64(n)))
			for range take {
				dst = append(dst, value)
			}
			n -= take
			continue
		}
		groups := head >> 1
		if groups == 0 || groups > uint64(len(data))/uint64(width)+1 {
			return dst, errHybrid
		}
		size := min(int(groups)*width, len(data)) // the last group may be cut short
		packed := data[:size]
		data = data[size:]
		take := min(int(groups)*8, n)
		if take*width > size*8 {
			return dst, errHybrid
		}
		dst = unpack(dst, packed, width, mask, take)
		n -= take
	}
	return dst, nil
}

// unpack appends n numbers of packed bits, which has enough of them.
func unpack(dst []uint32, packed []byte, width int, mask uint64, n int) []uint32 {
	bit := 0
	for ; n > 0 && bit>>3+8 <= len(packed); n-- {
		dst = append(dst, uint32(binary.LittleEndian.Uint64(packed[bit>>3:])>>(bit&7)&mask))
		bit += width
	}
	for ; n > 0; n-- {
		var word uint64
		for i, b := range packed[bit>>3 : min(len(packed), bit>>3+8)] {
			word |= uint64(b) << (8 * i)
		}
		dst = append(dst, uint32(word>>(bit&7)&mask))
		bit += width
	}
	return dst
}

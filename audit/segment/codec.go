package segment

import (
	"encoding/binary"

	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// codec is zstd that stores a page as it is where packing would save less than a tenth:
// such pages, mostly of indexes, are then read at the speed of copying, for half a byte
// an event.
type codec struct{ zstd.Codec }

func newCodec() *codec { return &codec{zstd.Codec{Level: zstd.SpeedDefault}} }

// CompressionCodec implements compress.Codec.
func (c *codec) CompressionCodec() format.CompressionCodec { return format.Zstd }

// Encode implements compress.Codec.
func (c *codec) Encode(dst, src []byte) ([]byte, error) {
	dst, err := c.Codec.Encode(dst, src)
	if err != nil || len(dst) < len(src)-len(src)/10 || len(src) < 64 {
		return dst, err
	}
	return store(dst[:0], src), nil
}

// store appends a frame of zstd whose blocks are raw (RFC 8878, 3.1.1).
func store(dst, src []byte) []byte {
	const most = 128 << 10 // of a block
	dst = binary.LittleEndian.AppendUint32(dst, 0xFD2FB528)
	dst = append(dst, 0b1010_0000) // one segment, whose size has four bytes
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(src)))
	for {
		n := min(len(src), most)
		head := uint32(n) << 3
		if n == len(src) {
			head |= 1 // the last
		}
		dst = append(dst, byte(head), byte(head>>8), byte(head>>16))
		dst = append(dst, src[:n]...)
		if src = src[n:]; len(src) == 0 {
			return dst
		}
	}
}

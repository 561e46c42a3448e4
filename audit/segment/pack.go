package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// packing is how hard a page is packed.
type packing uint8

const (
	asIs  packing = iota
	fast          // what hardly comes again, of which the alphabet is small
	dense         // everything else
)

// packer packs pages. Its room is used again and again.
type packer struct {
	dense, fast *zstd.Encoder
	body        []byte // of the page
	values      []byte // of its values
}

func newPacker() (*packer, error) {
	p := &packer{}
	var err error
	for to, level := range map[**zstd.Encoder]zstd.EncoderLevel{&p.dense: zstd.SpeedDefault, &p.fast: zstd.SpeedFastest} {
		*to, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(level), zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false), zstd.WithAllLitEntropyCompression(true), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, fmt.Errorf("pack pages: %w", err)
		}
	}
	return p, nil
}

// page appends the page with its header, and tells how long both would be unpacked. What
// packing would save less than a tenth of, or of indexes less than a quarter, is stored as
// it is, and loose: such pages are then read at the speed of copying, for half a byte an
// event.
func (p *packer) page(to []byte, how packing, header *format.PageHeader) (_ []byte, raw int, loose bool, err error) {
	packed, worth := p.values[:0], len(p.body)/10
	if header.DataPageHeader.V.Encoding == format.RLEDictionary {
		worth = len(p.body) / 4
	}
	switch {
	case how == asIs || len(p.body) < 64:
		packed = store(packed, p.body)
	case how == fast:
		packed = p.fast.EncodeAll(p.body, packed)
	default:
		packed = p.dense.EncodeAll(p.body, packed)
	}
	if loose = len(packed) > len(p.body)-worth && len(p.body) >= 64; loose {
		packed = store(packed[:0], p.body)
	}
	p.values = packed
	header.UncompressedPageSize, header.CompressedPageSize = int32(len(p.body)), int32(len(packed))
	header.CRC = int32(crc32.ChecksumIEEE(packed))
	var protocol thrift.CompactProtocol
	head, err := thrift.Marshal(&protocol, header)
	if err != nil {
		return to, 0, false, fmt.Errorf("write the header of a page: %w", err)
	}
	return append(append(to, head...), packed...), len(head) + len(p.body), loose, nil
}

// some is a value that is there.
func some[T any](v T) thrift.Null[T] { return thrift.Null[T]{V: v, Valid: true} }

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

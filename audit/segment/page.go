package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// maxPage is the largest page that is unpacked: the longest text, and what may be with it
// in its page.
const maxPage = MaxValue + 32<<20

// unpackers are zstd's decoders, which are large and can be used again. They make no more
// of a page than the room that it is given.
var unpackers = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // of the options alone
	}
	return d
}}

// pageHeader is what of a page's header is needed.
type pageHeader struct {
	kind             int64 // 0 for data of version 1, 2 for a dictionary
	unpacked, packed int64
	crc              uint32
	checked          bool
	values, encoding int64
	size             int // of the header itself
}

func readPageHeader(data []byte) (h pageHeader, err error) {
	in := &compact{data: data}
	h.kind = -1
	in.fields(func(id int, kind byte) {
		switch {
		case id == 1 && kind == thriftI32:
			h.kind = in.integer()
		case id == 2 && kind == thriftI32:
			h.unpacked = in.integer()
		case id == 3 && kind == thriftI32:
			h.packed = in.integer()
		case id == 4 && kind == thriftI32:
			h.crc, h.checked = uint32(in.integer()), true
		case (id == 5 || id == 7) && kind == thriftStruct:
			in.fields(func(id int, kind byte) {
				switch {
				case id == 1 && kind == thriftI32:
					h.values = in.integer()
				case id == 2 && kind == thriftI32:
					h.encoding = in.integer()
				default:
					in.skip(kind, 2)
				}
			})
		default:
			in.skip(kind, 1)
		}
	})
	h.size = in.at
	switch {
	case in.err != nil:
		return h, fmt.Errorf("its header is damaged: %w", in.err)
	case h.unpacked < 0 || h.packed < 0 || h.values < 0 || h.unpacked > maxPage || h.values > maxPage:
		return h, fmt.Errorf("it says that it has %d values in %d bytes, of %d packed", h.values, h.unpacked, h.packed)
	}
	return h, nil
}

// unpackPage is the content of a page of which data is header and body, in buffer where
// it fits.
func unpackPage(buffer, data []byte, codec format.CompressionCodec) (pageHeader, []byte, error) {
	h, err := readPageHeader(data)
	if err != nil {
		return h, nil, err
	}
	body := data[h.size:]
	if int64(len(body)) < h.packed {
		return h, nil, fmt.Errorf("it has %d bytes, and says that it has %d", len(body), h.packed)
	}
	body = body[:h.packed]
	if h.checked && h.crc != 0 && crc32.ChecksumIEEE(body) != h.crc {
		return h, nil, errors.New("its checksum does not match")
	}
	if codec == format.Uncompressed {
		if h.packed != h.unpacked {
			return h, nil, errors.New("it is not compressed, and has two sizes")
		}
		return h, append(buffer[:0], body...), nil
	}
	if int64(cap(buffer)) < h.unpacked {
		buffer = make([]byte, 0, h.unpacked)
	}
	d := unpackers.Get().(*zstd.Decoder)
	defer unpackers.Put(d)
	out, err := d.DecodeAll(body, buffer[:0:h.unpacked])
	if err != nil {
		return h, nil, fmt.Errorf("it cannot be unpacked: %w", err)
	}
	if int64(len(out)) != h.unpacked {
		return h, nil, fmt.Errorf("it has %d bytes, and says that it has %d", len(out), h.unpacked)
	}
	return h, out, nil
}

// values are those of a page or of a dictionary: indexes into the dictionary, texts, or
// numbers.
type values struct {
	indexed bool
	packed  runs     // the indexes
	indexes []uint32 // the same, where all were asked for
	entries int      // of the dictionary
	data    []byte   // of the texts
	ends    []uint32
	numbers []int64
}

func (v *values) reset() {
	v.indexed, v.indexes, v.data, v.ends, v.numbers = false, v.indexes[:0], nil, v.ends[:0], v.numbers[:0]
}

// index is one index.
func (v *values) index(i int) uint32 {
	var x uint32
	if len(v.indexes) > 0 {
		x = v.indexes[i]
	} else {
		x = v.packed.get(i)
	}
	if int(x) >= v.entries {
		panic(damage{fmt.Errorf("it has entry %d of a dictionary of %d", x, v.entries)})
	}
	return x
}

// unpacked are all indexes.
func (v *values) unpacked() []uint32 {
	if len(v.indexes) == 0 {
		v.indexes = v.packed.all(v.indexes)
		for _, x := range v.indexes {
			if int(x) >= v.entries {
				panic(damage{fmt.Errorf("it has entry %d of a dictionary of %d", x, v.entries)})
			}
		}
	}
	return v.indexes
}

// text is the i-th text of a page that has texts.
func (v *values) text(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = v.ends[i-1]
	}
	return v.data[start+4 : v.ends[i]]
}

// texts finds n texts in data.
func (v *values) texts(data []byte, n int) error {
	if n > len(data)/4 {
		return fmt.Errorf("%d texts do not fit in %d bytes", n, len(data))
	}
	v.data = data
	at := 0
	for range n {
		if at+4 > len(data) {
			return errCut
		}
		length := binary.LittleEndian.Uint32(data[at:])
		if uint64(length) > uint64(len(data)-at-4) {
			return errCut
		}
		at += 4 + int(length)
		v.ends = append(v.ends, uint32(at))
	}
	return nil
}

// decode reads n values of an encoding.
func (v *values) decode(data []byte, n int, encoding int64, kind format.Type, dictionary int) error {
	v.reset()
	switch enc := format.Encoding(encoding); {
	case enc == format.RLEDictionary:
		v.indexed, v.entries = true, dictionary
		if n == 0 {
			return v.packed.parse(nil, 0, 0, 0)
		}
		if len(data) == 0 {
			return errCut
		}
		return v.packed.parse(data[1:], int(data[0]), n, 0)
	case enc == format.Plain && kind == format.ByteArray:
		return v.texts(data, n)
	case enc == format.Plain && kind == format.Int32:
		if len(data) < 4*n {
			return errCut
		}
		for i := range n {
			v.numbers = append(v.numbers, int64(int32(binary.LittleEndian.Uint32(data[4*i:]))))
		}
		return nil
	case enc == format.Plain && kind == format.Int64:
		if len(data) < 8*n {
			return errCut
		}
		for i := range n {
			v.numbers = append(v.numbers, int64(binary.LittleEndian.Uint64(data[8*i:])))
		}
		return nil
	case enc == format.Plain && kind == format.Boolean:
		if len(data) < (n+7)/8 {
			return errCut
		}
		for i := range n {
			v.numbers = append(v.numbers, int64(data[i/8]>>(i%8)&1))
		}
		return nil
	case enc == format.DeltaBinaryPacked && kind == format.Int64:
		var err error
		v.numbers, err = deltas(v.numbers, data, n)
		return err
	}
	return fmt.Errorf("it is encoded as %s, which is not read", format.Encoding(encoding))
}

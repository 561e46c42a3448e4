package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Frame is one frame as it was written.
type Frame struct {
	Kind    Kind
	Payload []byte
}

// Content is what Read found in a file.
type Content struct {
	Frames []Frame
	// Damaged are the parts that are no frames though frames follow, or though they are
	// as long as they say. Before is how many Frames lie in front of each.
	Damaged []Damage
	// Size is where the last frame ends: a Continue goes on there.
	Size int64
	// Torn is how many bytes lie behind it that a killed writer left.
	Torn int64
}

// Damage is a part of a file that could not be read.
type Damage struct {
	Offset int64
	Bytes  []byte
	Before int
}

// ErrFile says that a file is no write-ahead log, or of a newer version.
var ErrFile = errors.New("it is no write-ahead log that this version reads")

// Read reads the frames of a file from an offset on: 0, or the Size of an earlier Read
// of the same file, whose new frames are wanted.
func Read(file io.ReaderAt, length, from int64) (*Content, error) {
	data := make([]byte, max(length-from, 0))
	if n, err := file.ReadAt(data, from); err == io.EOF {
		data = data[:n] // it was cut while it was read
	} else if err != nil {
		return nil, fmt.Errorf("read write-ahead log: %w", err)
	}
	at := 0
	if from == 0 {
		if len(data) < len(fileHeader) {
			return &Content{Torn: int64(len(data))}, nil
		}
		if string(data[:len(fileHeader)]) != fileHeader {
			return nil, fmt.Errorf("read write-ahead log: %w", ErrFile)
		}
		at = len(fileHeader)
	}
	return parse(data, at, from)
}

// ReadPath is Read of a whole file.
func ReadPath(path string) (*Content, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read write-ahead log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read write-ahead log: %w", err)
	}
	content, err := Read(f, info.Size(), 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return content, nil
}

// parse reads frames out of data, which lies at an offset of its file.
func parse(data []byte, at int, offset int64) (*Content, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxFrame), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("read write-ahead log: %w", err)
	}
	defer decoder.Close()
	c := &Content{Size: offset + int64(at)}
	for at < len(data) {
		frame, n, state := next(data[at:], decoder)
		if state == whole {
			c.Frames = append(c.Frames, frame)
			at += n
			c.Size = offset + int64(at)
			continue
		}
		found := resume(data, at+1, decoder)
		if found < 0 && state == torn {
			break
		}
		end := found
		if found < 0 {
			end = at + n
		}
		c.Damaged = append(c.Damaged, Damage{Offset: offset + int64(at), Bytes: bytes.Clone(data[at:end]), Before: len(c.Frames)})
		at = end
		c.Size = offset + int64(at)
	}
	c.Torn = int64(len(data) - at)
	return c, nil
}

// states of the bytes at a place.
type state int

const (
	whole   state = iota // a frame
	torn                 // what a killed writer may have left: less than a frame, or zeros
	damaged              // as long as it says, and not what its sum says
)

// next reads a frame at the beginning of data, and tells how long it is, or claims to be.
func next(data []byte, decoder *zstd.Decoder) (Frame, int, state) {
	if len(data) <= frameHeader || string(data[:len(frameMagic)]) != frameMagic {
		if len(data) <= frameHeader || len(bytes.Trim(data, "\x00")) == 0 {
			return Frame{}, len(data), torn
		}
		return Frame{}, len(data), damaged
	}
	length := int(binary.LittleEndian.Uint32(data[len(frameMagic):]))
	if length < 1 || length > MaxFrame+MaxFrame/8 {
		return Frame{}, len(data), damaged
	}
	if len(data)-frameHeader < length {
		return Frame{}, len(data), torn
	}
	body := data[frameHeader : frameHeader+length]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(data[len(frameMagic)+4:]) {
		return Frame{}, frameHeader + length, damaged
	}
	payload, err := unpack(Kind(body[0]), body[1:], decoder)
	if err != nil {
		return Frame{}, frameHeader + length, damaged
	}
	return Frame{Kind: Kind(body[0]) &^ (packed | plain), Payload: payload}, frameHeader + length, whole
}

// unpack is the payload of a frame, which has MaxFrame bytes at most.
func unpack(kind Kind, body []byte, decoder *zstd.Decoder) ([]byte, error) {
	if kind&plain != 0 {
		if len(body) > MaxFrame {
			return nil, ErrFile
		}
		return body[:len(body):len(body)], nil
	}
	if kind&packed == 0 {
		return decoder.DecodeAll(body, nil)
	}
	n, err := s2.DecodedLen(body)
	if err != nil {
		return nil, err
	}
	if n > MaxFrame {
		return nil, s2.ErrTooLarge
	}
	return s2.Decode(nil, body)
}

// resume is where the next frame begins at or after a place; -1 for nowhere.
func resume(data []byte, at int, decoder *zstd.Decoder) int {
	for at < len(data) {
		i := bytes.Index(data[at:], []byte(frameMagic))
		if i < 0 {
			return -1
		}
		if _, _, state := next(data[at+i:], decoder); state == whole {
			return at + i
		}
		at += i + 1
	}
	return -1
}

// RecordHeader is how many bytes are before a record in an Events frame: its length.
const RecordHeader = 4

// Records yields the records of an Events frame; ok is false where their lengths are
// wrong.
func Records(payload []byte, yield func(at, length int)) (ok bool) {
	for at := 0; at < len(payload); {
		if len(payload)-at < RecordHeader {
			return false
		}
		n := int(binary.LittleEndian.Uint32(payload[at:]))
		if n > len(payload)-at-RecordHeader {
			return false
		}
		yield(at+RecordHeader, n)
		at += RecordHeader + n
	}
	return true
}

package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
)

// Kind says what a frame holds.
type Kind byte

// Kinds of frames.
const (
	// Events are records, each behind its length as a uvarint.
	Events Kind = 1
	// Gap is a gap as JSON; one without an end goes on until the next of its reason.
	Gap Kind = 2

	// plain is set in the kind of a frame whose payload is as it was given. A log lives for
	// minutes, and compressing it would be a tenth of what an event costs.
	plain Kind = 0x40
	// packed is set in one whose payload is a block of S2, and neither in one of zstd, as
	// earlier versions wrote them.
	packed Kind = 0x80
)

// MaxFrame bounds the payload of a frame before it is compressed. A bigger one is not
// written, and a frame that claims more is damaged.
const MaxFrame = 256 << 20

const (
	fileHeader  = "GatehouseWAL\x00\x00\x00\x01"
	frameMagic  = "\xabGHf"
	frameHeader = len(frameMagic) + 4 + 4 // length and sum
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// File is what a Writer needs of a file; tests have disks that are full.
type File interface {
	Write(p []byte) (int, error)
	Truncate(size int64) error
	Seek(offset int64, whence int) (int64, error)
	Sync() error
	Close() error
}

// Writer writes frames at the end of one file. It is not safe for concurrent use, but
// for Sync.
type Writer struct {
	file    File
	size    int64 // up to here the file is whole frames
	scratch []byte
}

// NewWriter begins a file that is empty.
func NewWriter(file File) (*Writer, error) {
	w := &Writer{file: file}
	return w, w.put([]byte(fileHeader))
}

// Continue goes on with a file whose first size bytes are whole frames (Content.Size).
func Continue(file File, size int64) (*Writer, error) {
	w := &Writer{file: file, size: size}
	if size < int64(len(fileHeader)) {
		w.size = 0
		if err := w.cut(); err != nil {
			return nil, err
		}
		return w, w.put([]byte(fileHeader))
	}
	return w, w.cut()
}

// cut takes away what lies behind the last whole frame.
func (w *Writer) cut() error {
	if err := w.file.Truncate(w.size); err != nil {
		return fmt.Errorf("cut write-ahead log: %w", err)
	}
	if _, err := w.file.Seek(w.size, 0); err != nil {
		return fmt.Errorf("cut write-ahead log: %w", err)
	}
	return nil
}

// ErrBroken says that a file is in a state that the Writer could not mend.
var ErrBroken = errors.New("the write-ahead log could not be cut back after a failed write")

// put writes bytes whole or not at all.
func (w *Writer) put(p []byte) error {
	if _, err := w.file.Write(p); err != nil {
		if cutErr := w.cut(); cutErr != nil {
			return fmt.Errorf("write write-ahead log: %w: %w: %w", ErrBroken, cutErr, err)
		}
		return fmt.Errorf("write write-ahead log: %w", err)
	}
	w.size += int64(len(p))
	return nil
}

// Write appends a frame. After an error it is not in the file; unless the error is
// ErrBroken, another one can be written.
func (w *Writer) Write(kind Kind, payload []byte) error {
	if len(payload) > MaxFrame {
		return fmt.Errorf("write write-ahead log: frame of %d bytes, at most %d are possible", len(payload), MaxFrame)
	}
	const body = frameHeader + 1
	b := slices.Grow(w.scratch[:0], body+len(payload))
	b = append(append(b, frameMagic...), 0, 0, 0, 0, 0, 0, 0, 0, byte(kind|plain))
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b[len(frameMagic):], uint32(len(b)-frameHeader))
	binary.LittleEndian.PutUint32(b[len(frameMagic)+4:], crc32.Checksum(b[frameHeader:], castagnoli))
	err := w.put(b)
	if w.scratch = b; cap(b) > 4<<20 { // one big event does not keep its memory
		w.scratch = nil
	}
	return err
}

// Size is how long the file is.
func (w *Writer) Size() int64 { return w.size }

// Sync forces to disk what was written before the call. It may be called beside Write.
func (w *Writer) Sync() error {
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("sync write-ahead log: %w", err)
	}
	return nil
}

// Close closes the file, without syncing it.
func (w *Writer) Close() error { return w.file.Close() }

// Create makes the file of a Writer, for its owner alone.
func Create(path string) (File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
}

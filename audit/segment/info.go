package segment

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"time"
)

// Info is what a file is, as Write has written it.
type Info struct {
	// Rows are the events, and Bytes the size of the file.
	Rows, Bytes int64
	// First and Last are when the oldest and the newest event were.
	First, Last time.Time
	// SHA256 of the whole file.
	SHA256 Digest
}

// Digest is a SHA-256, which prints and marshals as hexadecimal.
type Digest [sha256.Size]byte

// String implements fmt.Stringer.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(d) {
		return errNotADigest
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// meter counts and hashes what is written.
type meter struct {
	to    io.Writer
	bytes int64
	sum   hash.Hash
}

func newMeter(w io.Writer) *meter { return &meter{to: w, sum: sha256.New()} }

func (m *meter) Write(b []byte) (int, error) {
	n, err := m.to.Write(b)
	m.bytes += int64(n)
	m.sum.Write(b[:n])
	return n, err
}

func (m *meter) digest() (d Digest) {
	m.sum.Sum(d[:0])
	return d
}

package format

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/zstd"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
	"github.com/gatehouse-io/gatehouse/audit/record"
)

// Names of formats. Auto tells them apart by themselves.
const (
	Auto      = "auto"
	Raw       = "raw"
	OpenShift = "openshift"
	Gatehouse = "gatehouse"
	EKS       = "eks"
	GKE       = "gke"
	AKS       = "aks"
)

// Names are all formats.
var Names = []string{Auto, Raw, OpenShift, Gatehouse, EKS, GKE, AKS}

// Options say how a file is read.
type Options struct {
	// Format is the only one that is read; what is of another is a Problem. Default Auto.
	Format string
	// Reuse says that whoever takes an event is done with it, and with every text of it,
	// before the next: memory is used again then. What events share stays.
	Reuse bool
	// MaxLine is the longest line, or object over several lines. Default 64 MiB.
	MaxLine int
}

const (
	defaultMaxLine = 64 << 20
	buffer         = 256 << 10
)

// Read yields the events of a file, and a Problem for everything in it that is none; of
// each pair one is nil. file is its name in Problems. Events may share maps and lists.
func Read(in io.Reader, file string, o Options) iter.Seq2[*audit.Event, *Problem] {
	if o.MaxLine <= 0 {
		o.MaxLine = defaultMaxLine
	}
	if o.Format == "" {
		o.Format = Auto
	}
	return func(yield func(*audit.Event, *Problem) bool) {
		r := &reader{o: o, file: file, yield: yield, partial: map[string]*partial{}}
		plain, err := decompress(bufio.NewReaderSize(in, buffer))
		if err != nil {
			r.problem(place{line: 1}, nil, Damaged, damage(err))
			return
		}
		defer plain.Close()
		r.lines = lineReader{in: bufio.NewReaderSize(plain, buffer), max: o.MaxLine}
		r.run()
	}
}

// decompress is what a compressed file holds, or the file.
func decompress(in *bufio.Reader) (io.ReadCloser, error) {
	magic, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(in)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// With twice the window in memory, half as much is moved: where that is little.
		var h zstd.Header
		start, _ := in.Peek(zstd.HeaderMaxSize)
		large := h.Decode(start) != nil || h.Skippable || h.WindowSize > 8<<20
		d, err := zstd.NewReader(in, zstd.WithDecoderMaxMemory(256<<20), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(large))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(in), nil
}

// damage is an error of reading in words of the house: those of decompressors may quote.
func damage(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the compressed data ends too early"
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, zstd.ErrMagicMismatch), errors.Is(err, zstd.ErrCRCMismatch):
		return "the compressed data is damaged"
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return "the compressed data needs more than 256 MiB of memory"
	}
	return err.Error()
}

// place is where something stands in a file.
type place struct {
	line   int
	offset int64
}

// reader is the reading of one file.
type reader struct {
	o     Options
	file  string
	yield func(*audit.Event, *Problem) bool
	done  bool // nobody takes any more

	lines   lineReader
	decoder record.Decoder
	reused  audit.Event // with Options.Reuse, the event that was yielded last
	// docs are the documents under way: one within a text of another has its own.
	docs []*jsondoc.Document
	deep int
	// wrapped says that entries stand within an object over several lines.
	wrapped bool
	// openshift says that the file has shown to be OpenShift's.
	openshift bool
	// partial are the beginnings of messages that CloudWatch has split, by stream.
	partial map[string]*partial
}

func (r *reader) event(e *audit.Event) {
	if !r.done {
		r.done = !r.yield(e, nil)
	}
}

func (r *reader) problem(at place, raw []byte, reason, detail string) {
	if !r.done {
		r.done = !r.yield(nil, &Problem{File: r.file, Line: at.line, Offset: at.offset, Raw: raw, Reason: reason, Detail: detail})
	}
}

// fault is the problem of a document that cannot be read.
func (r *reader) fault(at place, raw []byte, err error) {
	if bytes.HasSuffix(bytes.TrimRight(raw, " \"\n"), []byte("[Truncated...]")) {
		r.problem(at, raw, Truncated, "CloudWatch has cut it")
		return
	}
	if syntax, ok := errors.AsType[*jsondoc.SyntaxError](err); ok && syntax.Short {
		r.problem(at, raw, Truncated, fmt.Sprintf("it ends after %d bytes, before it is complete", len(raw)))
		return
	}
	r.problem(at, raw, Broken, err.Error())
}

// accepts reports whether a format is to be read, and makes a Problem of what is of another.
func (r *reader) accepts(at place, raw []byte, format string) bool {
	if r.o.Format == Auto || r.o.Format == format || r.o.Format == OpenShift && format == Raw || r.o.Format == Gatehouse && format == Raw {
		return true
	}
	r.problem(at, raw, NoEvent, "it is of the format "+format+", and "+r.o.Format+" was asked for")
	return false
}

// document gives a Document for one more level of texts within texts.
func (r *reader) document() *jsondoc.Document {
	if r.deep == len(r.docs) {
		r.docs = append(r.docs, &jsondoc.Document{})
	}
	r.deep++
	return r.docs[r.deep-1]
}

func (r *reader) release() { r.deep-- }

// mostDeep is how many texts within texts are read.
const mostDeep = 4

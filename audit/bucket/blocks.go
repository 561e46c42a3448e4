package bucket

import (
	"container/list"
	"context"
	"fmt"
	"io"
	"sync"

	"gocloud.dev/blob"
)

// blockBytes is what is read of an object at once. Pages of a column lie side by side,
// and a request to a bucket takes as long as a quarter of a megabyte does.
const blockBytes = 256 << 10

// blocks keeps parts of objects that were read, the ones asked for last. It is safe for
// concurrent use.
type blocks struct {
	bucket *blob.Bucket
	most   int // of blocks

	mu     sync.Mutex
	order  *list.List // of *block, the one asked for last at the front
	byName map[blockName]*list.Element
}

type blockName struct {
	key    string
	number int64
}

type block struct {
	name blockName
	data []byte
}

func newBlocks(b *blob.Bucket, bytes int) *blocks {
	return &blocks{bucket: b, most: max(1, bytes/blockBytes), order: list.New(), byName: map[blockName]*list.Element{}}
}

// get is a block of an object.
func (b *blocks) get(ctx context.Context, key string, number, size int64) ([]byte, error) {
	name := blockName{key, number}
	b.mu.Lock()
	if e := b.byName[name]; e != nil {
		b.order.MoveToFront(e)
		b.mu.Unlock()
		return e.Value.(*block).data, nil
	}
	b.mu.Unlock()
	offset := number * blockBytes
	data := make([]byte, min(blockBytes, size-offset))
	r, err := b.bucket.NewRangeReader(ctx, key, offset, int64(len(data)), nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byName[name] == nil {
		b.byName[name] = b.order.PushFront(&block{name, data})
	}
	for b.order.Len() > b.most {
		oldest := b.order.Back()
		b.order.Remove(oldest)
		delete(b.byName, oldest.Value.(*block).name)
	}
	return data, nil
}

// object is an object as an io.ReaderAt. The context of a read is that of the scan that
// is made of it, which Segment does not hand through: it ends with the Reader.
type object struct {
	ctx    context.Context
	blocks *blocks
	key    string
	size   int64
}

// ReadAt implements io.ReaderAt.
func (o *object) ReadAt(p []byte, offset int64) (n int, err error) {
	if offset < 0 || offset > o.size {
		return 0, fmt.Errorf("read %s: at %d of %d bytes", o.key, offset, o.size)
	}
	for n < len(p) {
		at := offset + int64(n)
		if at >= o.size {
			return n, io.EOF
		}
		data, err := o.blocks.get(o.ctx, o.key, at/blockBytes, o.size)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], data[at%blockBytes:])
	}
	return n, nil
}

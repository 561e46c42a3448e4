package segment

import (
	"fmt"
)

// pageRef is where a page of a chunk lies, and which rows it has.
type pageRef struct {
	offset, length int64 // with its header
	first, rows    int
}

// columnIndex are the bounds of the pages of a chunk.
type columnIndex struct {
	empty    []bool // the page has no value
	min, max [][]byte
	nulls    []int64
}

// locations are the pages of a chunk, which together have all of its rows.
func (c *chunk) locations() ([]pageRef, error) {
	if p := c.pages.Load(); p != nil {
		return *p, nil
	}
	if c.rows == 0 {
		return nil, nil
	}
	data, err := c.of.read(nil, c.raw.OffsetIndexOffset, int64(c.raw.OffsetIndexLength))
	if err != nil {
		return nil, fmt.Errorf("column %s: its index of pages: %w", c.name(), err)
	}
	var pages []pageRef
	in := &compact{data: data}
	in.fields(func(id int, kind byte) {
		if id != 1 || kind != thriftList {
			in.skip(kind, 0)
			return
		}
		_, n := in.list()
		pages = make([]pageRef, n)
		for i := range pages {
			p := &pages[i]
			in.fields(func(id int, kind byte) {
				switch {
				case id == 1 && kind == thriftI64:
					p.offset = in.integer()
				case id == 2 && kind == thriftI32:
					p.length = in.integer()
				case id == 3 && kind == thriftI64:
					p.first = int(in.integer())
				default:
					in.skip(kind, 1)
				}
			})
		}
	})
	if in.err == nil {
		in.err = c.fillRows(pages)
	}
	if in.err != nil {
		return nil, fmt.Errorf("column %s: its index of pages is damaged: %w", c.name(), in.err)
	}
	c.pages.Store(&pages)
	return pages, nil
}

func (c *chunk) fillRows(pages []pageRef) error {
	if len(pages) == 0 || pages[0].first != 0 {
		return fmt.Errorf("it does not begin at the first row")
	}
	for i := range pages {
		end := c.rows
		if i+1 < len(pages) {
			end = pages[i+1].first
		}
		if pages[i].rows = end - pages[i].first; pages[i].rows <= 0 || end > c.rows {
			return fmt.Errorf("page %d has rows %d to %d", i, pages[i].first, end)
		}
	}
	return nil
}

// bounds are the bounds of the pages of a chunk, or nil where the file has none.
func (c *chunk) bounds() (*columnIndex, error) {
	if i := c.indexed.Load(); i != nil {
		return i, nil
	}
	pages, err := c.locations()
	if err != nil {
		return nil, err
	}
	index := &columnIndex{}
	if c.raw.ColumnIndexOffset != 0 {
		data, err := c.of.read(nil, c.raw.ColumnIndexOffset, int64(c.raw.ColumnIndexLength))
		if err == nil {
			err = index.decode(data)
		}
		if err == nil && (len(index.empty) != len(pages) || len(index.min) != len(pages) || len(index.max) != len(pages)) {
			err = fmt.Errorf("it is of %d pages, and there are %d", len(index.empty), len(pages))
		}
		if err != nil {
			return nil, fmt.Errorf("column %s: its bounds of pages are damaged: %w", c.name(), err)
		}
		if len(index.nulls) != len(pages) {
			index.nulls = nil
		}
	}
	c.indexed.Store(index)
	return index, nil
}

func (x *columnIndex) decode(data []byte) error {
	in := &compact{data: data}
	in.fields(func(id int, kind byte) {
		if kind != thriftList || id < 1 || id == 4 || id > 5 {
			in.skip(kind, 0)
			return
		}
		_, n := in.list()
		for range n {
			switch id {
			case 1:
				x.empty = append(x.empty, in.byte() == thriftTrue)
			case 2:
				x.min = append(x.min, in.binary())
			case 3:
				x.max = append(x.max, in.binary())
			case 5:
				x.nulls = append(x.nulls, in.integer())
			}
		}
	})
	return in.err
}

// truncatedBound is where the writer begins to cut bounds: shorter ones are exact.
const truncatedBound = 16

// constant is the one value of all rows of a page, where its bounds say that there is
// only one, and whether they do.
func (x *columnIndex) constant(page int) ([]byte, bool) {
	if x == nil || page >= len(x.min) || x.empty[page] || x.nulls == nil || x.nulls[page] != 0 {
		return nil, false
	}
	a, b := x.min[page], x.max[page]
	return a, len(a) < truncatedBound && string(a) == string(b)
}

// allNull reports whether a page has no value at all.
func (x *columnIndex) allNull(page int) bool { return x != nil && page < len(x.empty) && x.empty[page] }

package store

import (
	"container/list"
	"fmt"
	"os"
	"sync"

	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// opened keeps segments open for the next scan: reading a footer costs more than many a
// question. It is bounded; those in use are beyond the bound.
type opened struct {
	dir   layout
	limit int

	mu    sync.Mutex
	by    map[string]*list.Element
	order *list.List // of *openSegment, the one used last in front
}

// openSegment is a segment that is open, as long as somebody uses it or it is kept.
type openSegment struct {
	*segment.Segment
	name string
	file *os.File
	uses int
	gone bool // it is not kept any more
}

func newOpened(dir layout, limit int) *opened {
	return &opened{dir: dir, limit: limit, by: map[string]*list.Element{}, order: list.New()}
}

// get opens a segment, or finds it open. It is to be put back.
func (o *opened) get(name string) (*openSegment, error) {
	o.mu.Lock()
	if e, ok := o.by[name]; ok {
		o.order.MoveToFront(e)
		s := e.Value.(*openSegment)
		s.uses++
		o.mu.Unlock()
		return s, nil
	}
	o.mu.Unlock()
	s, err := openFile(o.dir.segment(name))
	if err != nil {
		return nil, err
	}
	s.name, s.uses = name, 1
	o.mu.Lock()
	defer o.mu.Unlock()
	if e, ok := o.by[name]; ok { // somebody was faster
		s.file.Close()
		s = e.Value.(*openSegment)
		s.uses++
		return s, nil
	}
	o.by[name] = o.order.PushFront(s)
	for e := o.order.Back(); e != nil && o.order.Len() > o.limit; {
		before := e.Prev()
		if e.Value.(*openSegment).uses == 0 {
			o.drop(e)
		}
		e = before
	}
	return s, nil
}

func openFile(path string) (*openSegment, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	info, err := file.Stat()
	if err == nil {
		var s *segment.Segment
		if s, err = segment.Open(file, info.Size()); err == nil {
			return &openSegment{Segment: s, file: file}, nil
		}
	}
	file.Close()
	return nil, fmt.Errorf("%s: %w", path, err)
}

func (o *opened) put(s *openSegment) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.uses--; s.uses == 0 && s.gone {
		s.file.Close()
	}
}

// drop is called under the lock.
func (o *opened) drop(e *list.Element) {
	s := e.Value.(*openSegment)
	o.order.Remove(e)
	delete(o.by, s.name)
	if s.gone = true; s.uses == 0 {
		s.file.Close()
	}
}

// forget closes a segment that is to be removed, once nobody uses it.
func (o *opened) forget(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e, ok := o.by[name]; ok {
		o.drop(e)
	}
}

func (o *opened) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for e := o.order.Front(); e != nil; e = o.order.Front() {
		o.drop(e)
	}
}

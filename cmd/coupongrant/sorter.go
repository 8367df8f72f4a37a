package main

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
)

// sortMemory is what a sorter holds in memory before it writes to disk.
const sortMemory = 16 << 20

// sorter puts tuples, here called rows, in order, also more of them than fit
// into memory: what has been gathered is sorted and written to a file as a part,
// and in the end the parts are merged. Rows go in by add, and come out by each.
// Not safe for concurrent use.
type sorter struct {
	memory int // 0: sortMemory
	rows   []byte
	places []place
	file   *os.File // nil: nothing was written yet
	end    int64    // of what was written
	parts  []int64  // where each begins in the file
}

// place of a row in memory, from <= to.
type place struct{ from, to uint32 }

const placeSize = 8

func (s *sorter) add(r tuple) error {
	from := len(s.rows)
	s.rows = append(s.rows, r...)
	s.places = append(s.places, place{uint32(from), uint32(len(s.rows))})
	limit := s.memory
	if limit == 0 {
		limit = sortMemory
	}
	if len(s.rows)+placeSize*len(s.places) < limit {
		return nil
	}
	return s.spill()
}

func (s *sorter) at(p place) []byte { return s.rows[p.from:p.to] }

func (s *sorter) sort() {
	slices.SortFunc(s.places, func(a, b place) int { return bytes.Compare(s.at(a), s.at(b)) })
}

// spill writes what is in memory as one more part.
func (s *sorter) spill() error {
	if s.file == nil {
		file, err := os.CreateTemp("", "coupongrant-report-")
		if err != nil {
			return fmt.Errorf("sorting on disk: %w; TMPDIR names the folder", err)
		}
		_ = os.Remove(file.Name()) // it is gone when we are, however that ends; where it cannot be, close does it
		s.file = file
	}
	s.sort()
	s.parts = append(s.parts, s.end)
	out := bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.end), 1<<20)
	for _, p := range s.places {
		length := binary.AppendUvarint(nil, uint64(p.to-p.from))
		_, _ = out.Write(length) // the writer keeps its error until Flush
		_, _ = out.Write(s.at(p))
		s.end += int64(len(length)) + int64(p.to-p.from)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("sorting on disk: %w; TMPDIR names the folder", err)
	}
	s.rows, s.places = s.rows[:0], s.places[:0]
	return nil
}

// each hands over all rows in order. A row is valid until the next.
func (s *sorter) each(f func(*tupleReader) error) error {
	if s.file != nil {
		return s.merge(f)
	}
	s.sort()
	for _, p := range s.places {
		if err := f(&tupleReader{s.at(p)}); err != nil {
			return err
		}
	}
	return nil
}

func (s *sorter) merge(f func(*tupleReader) error) error {
	if err := s.spill(); err != nil {
		return err
	}
	s.rows, s.places = nil, nil
	var open partHeap
	for i, from := range s.parts {
		to := s.end
		if i+1 < len(s.parts) {
			to = s.parts[i+1]
		}
		p := &part{in: bufio.NewReaderSize(io.NewSectionReader(s.file, from, to-from), 64<<10)}
		more, err := p.next()
		if err != nil {
			return err
		}
		if more {
			open = append(open, p)
		}
	}
	heap.Init(&open)
	for len(open) > 0 {
		if err := f(&tupleReader{open[0].row}); err != nil {
			return err
		}
		more, err := open[0].next()
		if err != nil {
			return err
		}
		if more {
			heap.Fix(&open, 0)
		} else {
			heap.Pop(&open)
		}
	}
	return nil
}

// close takes the file away. It may be called more than once.
func (s *sorter) close() {
	s.rows, s.places = nil, nil
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
		s.file = nil
	}
}

// part is one of the sorted parts of a file, with its row that is next.
type part struct {
	in  *bufio.Reader
	row tuple
}

// next reads the next row; false: there is none.
func (p *part) next() (bool, error) {
	length, err := binary.ReadUvarint(p.in)
	if err == io.EOF { //nolint:errorlint // only the bare one is the end between two rows
		return false, nil
	}
	if err == nil {
		p.row = slices.Grow(p.row[:0], int(length))[:length]
		_, err = io.ReadFull(p.in, p.row)
	}
	if err != nil {
		return false, fmt.Errorf("reading what was sorted on disk: %w", err)
	}
	return true, nil
}

// partHeap has the part with the least row on top.
type partHeap []*part

func (h partHeap) Len() int           { return len(h) }
func (h partHeap) Less(i, j int) bool { return bytes.Compare(h[i].row, h[j].row) < 0 }
func (h partHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *partHeap) Push(x any)        { *h = append(*h, x.(*part)) }
func (h *partHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

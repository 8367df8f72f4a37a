package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// maxValues bounds how many Avro values, nested ones counted, one record may
// hold: goavro makes some 200 bytes of each, 4 MB of the worst record. A full
// request holds 23, a full outcome 70.
const maxValues = 10_000

var (
	errShort    = errors.New("the bytes end too early")
	errVarint   = errors.New("a number is out of its range")
	errTooMany  = fmt.Errorf("it holds more than %d values", maxValues)
	errBigBlock = fmt.Errorf("a block holds more than %d items", maxBlockCount)
)

// scanner walks a value as its schema says and builds nothing.
type scanner struct {
	rest   []byte
	values int
}

// scan returns nil if value is exactly one value of the schema, to the last
// byte. Its errors name fields of the schema and hold nothing of the value.
func scan(root *node, value []byte) error {
	s := &scanner{rest: value}
	if err := s.walk(root); err != nil {
		return err
	}
	if len(s.rest) > 0 {
		return fmt.Errorf("%d bytes are left over", len(s.rest))
	}
	return nil
}

func (s *scanner) walk(n *node) error {
	if s.values++; s.values > maxValues {
		return errTooMany
	}
	switch n.kind {
	case "null":
		return nil
	case "boolean":
		return s.boolean()
	case "int":
		return s.int()
	case "long":
		_, err := s.long()
		return err
	case "float":
		return s.skip(4)
	case "double":
		return s.skip(8)
	case "fixed":
		return s.skip(int64(n.size))
	case "bytes":
		_, err := s.bytes()
		return err
	case "string":
		return s.text()
	case "enum":
		_, err := s.index(len(n.symbols))
		return err
	}
	return s.walkNested(n)
}

func (s *scanner) walkNested(n *node) error {
	switch n.kind {
	case "record":
		for _, f := range n.fields {
			if err := s.walk(f.typ); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
		return nil
	case "array":
		return s.blocks(func() error { return s.walk(n.items) })
	case "map":
		return s.blocks(func() error {
			if err := s.text(); err != nil {
				return err
			}
			return s.walk(n.items)
		})
	case "union":
		i, err := s.index(len(n.branches))
		if err != nil {
			return err
		}
		return s.walk(n.branches[i])
	}
	return fmt.Errorf("the schema has a type %s", n.kind)
}

// blocks walks the items of an array or map: blocks of a count and as many
// items, ended by a count of 0. A negative count is followed by the block's
// size in bytes, which nobody needs who reads the items.
func (s *scanner) blocks(item func() error) error {
	for {
		count, err := s.long()
		if err != nil || count == 0 {
			return err
		}
		if count < 0 {
			if _, err := s.long(); err != nil {
				return err
			}
			count = -count // the smallest number stays negative
		}
		if count < 0 || count > maxBlockCount {
			return errBigBlock
		}
		for range count {
			if err := item(); err != nil {
				return err
			}
		}
	}
}

func (s *scanner) long() (int64, error) {
	v, n := binary.Varint(s.rest)
	if n == 0 {
		return 0, errShort
	}
	if n < 0 {
		return 0, errVarint
	}
	s.rest = s.rest[n:]
	return v, nil
}

func (s *scanner) int() error {
	v, err := s.long()
	if err == nil && (v < math.MinInt32 || v > math.MaxInt32) {
		return errVarint
	}
	return err
}

// index reads a number from 0 up to end, without end.
func (s *scanner) index(end int) (int64, error) {
	v, err := s.long()
	if err == nil && (v < 0 || v >= int64(end)) {
		return 0, errVarint
	}
	return v, err
}

func (s *scanner) boolean() error {
	if len(s.rest) > 0 && s.rest[0] > 1 {
		return errors.New("a boolean is neither 0 nor 1")
	}
	return s.skip(1)
}

func (s *scanner) skip(n int64) error {
	if n > int64(len(s.rest)) {
		return errShort
	}
	s.rest = s.rest[n:]
	return nil
}

func (s *scanner) bytes() ([]byte, error) {
	n, err := s.long()
	if err != nil {
		return nil, err
	}
	if n < 0 {
		return nil, errVarint
	}
	start := s.rest
	if err := s.skip(n); err != nil {
		return nil, err
	}
	return start[:n], nil
}

func (s *scanner) text() error {
	b, err := s.bytes()
	if err == nil && !utf8.Valid(b) {
		return errors.New("a string is not UTF-8")
	}
	return err
}

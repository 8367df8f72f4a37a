package main

import (
	"bytes"
	"encoding/binary"
)

// tuple is what a sorter puts in order: members one after another, in such a
// form that the bytes of two tuples compare as their members do, the first that
// differs deciding. A tupleReader takes them out again.
type tuple []byte

// The end of a text sorts before all that could go on: "a" before "a\x00".
const (
	textEnd    = "\x00\x01"
	textEscape = "\x00\xff" // stands for \x00
)

func (t tuple) text(s string) tuple {
	t = append(t, bytes.ReplaceAll([]byte(s), []byte{0}, []byte(textEscape))...)
	return append(t, textEnd...)
}

func (t tuple) number(n int64) tuple {
	return binary.BigEndian.AppendUint64(t, uint64(n)^1<<63)
}

func (t tuple) optional(n *int64) tuple {
	if n == nil {
		return append(t, 0)
	}
	return append(t, 1).number(*n)
}

// tupleReader takes a tuple apart, in the order in which it was put together. It
// is of our own making: a member that is not there is a bug, and panics.
type tupleReader struct{ rest tuple }

func (r *tupleReader) text() string {
	for at := 0; ; at++ {
		at += bytes.IndexByte(r.rest[at:], 0)
		if r.rest[at+1] == textEnd[1] {
			text := bytes.ReplaceAll(r.rest[:at], []byte(textEscape), []byte{0})
			r.rest = r.rest[at+len(textEnd):]
			return string(text)
		}
	}
}

func (r *tupleReader) number() int64 {
	n := binary.BigEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return int64(n ^ 1<<63)
}

func (r *tupleReader) optional() *int64 {
	given := r.rest[0]
	r.rest = r.rest[1:]
	if given == 0 {
		return nil
	}
	n := r.number()
	return &n
}

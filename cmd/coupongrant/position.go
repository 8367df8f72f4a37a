package main

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/twmb/franz-go/pkg/kgo"
)

// position of a record, and its text, by which ends name the request they are of.
type position struct {
	topic     string
	partition int32
	offset    int64
}

func positionOf(r *kgo.Record) position { return position{r.Topic, r.Partition, r.Offset} }

func (p position) String() string {
	return p.topic + "/" + strconv.Itoa(int(p.partition)) + "/" + strconv.FormatInt(p.offset, 10)
}

// parsePosition reads topic/partition/offset, in the one way to write it.
func parsePosition(text string) (p position, ok bool) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return p, false
	}
	partition, errPartition := strconv.ParseInt(parts[1], 10, 32)
	offset, errOffset := strconv.ParseInt(parts[2], 10, 64)
	p = position{parts[0], int32(partition), offset}
	visible := !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
	return p, errPartition == nil && errOffset == nil && partition >= 0 && offset >= 0 && p.String() == text && visible
}

package proof

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The headers that the proof reads, as the contracts name them. They stand here
// again on purpose: the engine's constants could be wrong.
const (
	sourceHeader   = "coupongrant-source"
	reasonHeader   = "coupongrant-reason"
	attemptsHeader = "coupongrant-attempts"
	replayOfHeader = "coupongrant-replay-of"
)

// answered is the request record that an end or a parked copy names, and what
// is known of it.
type answered struct {
	source    string
	partition *partition
	offset    int64
	mark      mark
	record    record // zero if it is not known any more, or never was
}

// source finds the request record that r answers. It returns nil after noting
// the breach, or when that record cannot be looked at.
func (c *Checker) source(r *kgo.Record) *answered {
	text := header(r, sourceHeader)
	topic, number, offset, ok := parseSource(text)
	if !ok || headerCount(r, sourceHeader) != 1 {
		c.breach(MalformedSource, found(r, "", "", sourceHeader+" is missing, repeated or names no record"))
		return nil
	}
	p := c.inputs[topicPartition{topic, number}]
	if p == nil {
		// The name is not quoted: it can be anything.
		c.breach(NoSource, found(r, "", "", "its source is no partition of an input topic"))
		return nil
	}
	a := &answered{source: text, partition: p, offset: offset, mark: p.mark(offset), record: p.open[offset]}
	if gone := offset < p.Start; gone || a.mark&seen != 0 {
		return a
	}
	if len(c.report.Unread) == 0 { // else it may lie where we could not read
		c.breach(NoSource, found(r, text, "", "no such request record"))
	}
	return nil
}

// parseSource reads <topic>/<partition>/<offset>, in the one way to write it.
func parseSource(s string) (topic string, partition int32, offset int64, ok bool) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 {
		return "", 0, 0, false
	}
	p, errP := strconv.ParseInt(parts[1], 10, 32)
	o, errO := strconv.ParseInt(parts[2], 10, 64)
	canonical := fmt.Sprintf("%s/%d/%d", parts[0], p, o) == s
	if errP != nil || errO != nil || p < 0 || o < 0 || !canonical {
		return "", 0, 0, false
	}
	return parts[0], int32(p), o, true
}

func found(r *kgo.Record, source, requestID, detail string) Finding {
	return Finding{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Source: source, RequestID: requestID, Detail: detail}
}

// header is the value of the first header of this name, empty if there is none.
func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// attempts that a dead letter tells of; it is outside text, so 0 if it is none.
func attempts(r *kgo.Record) int64 {
	n, err := strconv.ParseInt(header(r, attemptsHeader), 10, 32)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

func headerCount(r *kgo.Record, key string) (n int) {
	for _, h := range r.Headers {
		if h.Key == key {
			n++
		}
	}
	return n
}

func ceilSeconds(t time.Time) uint32 {
	s := t.Add(time.Second - 1).Unix()
	return uint32(min(max(s, 0), math.MaxUint32))
}

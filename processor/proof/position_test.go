//go:build chaos || apart

package proof_test

import (
	"bytes"
	"cmp"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// topicPartition names a partition.
type topicPartition struct {
	topic     string
	partition int32
}

func (tp topicPartition) compare(other topicPartition) int {
	return cmp.Or(cmp.Compare(tp.topic, other.topic), cmp.Compare(tp.partition, other.partition))
}

func (tp topicPartition) String() string { return fmt.Sprintf("%s/%d", tp.topic, tp.partition) }

// position of a record.
type position struct {
	topicPartition
	offset int64
}

func (p position) String() string { return fmt.Sprintf("%v/%d", p.topicPartition, p.offset) }

// readSource reads <topic>/<partition>/<offset>.
func readSource(source string) (tp topicPartition, offset int64, ok bool) {
	at := bytes.LastIndexByte([]byte(source), '/')
	if at < 0 {
		return tp, 0, false
	}
	before := bytes.LastIndexByte([]byte(source[:at]), '/')
	if before < 0 {
		return tp, 0, false
	}
	_, err := fmt.Sscanf(source[before:], "/%d/%d", &tp.partition, &offset)
	tp.topic = source[:before]
	return tp, offset, err == nil
}

func headerOf(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

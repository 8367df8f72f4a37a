package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// letterFlags choose dead letters, the same for listing and for putting back.
type letterFlags struct {
	reasons      []string
	since, until string
	partition    int32
	offset       string
	requestID    string
	source       string
	limit        int
	json         bool
}

func (f *letterFlags) add(flags *pflag.FlagSet, limit string) {
	flags.StringSliceVar(&f.reasons, "reason", nil, "only these reasons, such as grant-unknown,invalid-request")
	flags.StringVar(&f.since, "since", "", "only what was written since then: 24h ago, or a time")
	flags.StringVar(&f.until, "until", "", "only what was written before that")
	flags.Int32Var(&f.partition, "partition", -1, "only this partition of the dead-letter topic")
	flags.StringVar(&f.offset, "offset", "", "only this offset of the partition, or a range such as 100-250 or 100-")
	flags.StringVar(&f.requestID, "request-id", "", "only this request")
	flags.StringVar(&f.source, "source", "", "only the dead letter of this request record: topic/partition/offset")
	flags.IntVar(&f.limit, "limit", 0, limit)
	flags.BoolVar(&f.json, "json", false, "one JSON object a line")
}

// letterFilter is what the flags say.
type letterFilter struct {
	reasons      []string
	since, until time.Time
	partition    int32 // -1: all
	first, last  int64
	id           *idFilter // nil: any
	source       string
	limit        int
}

func (f letterFlags) filter(now time.Time) (filter letterFilter, err error) {
	filter = letterFilter{reasons: f.reasons, partition: f.partition, source: f.source, limit: f.limit}
	for _, reason := range f.reasons {
		if !slices.Contains(schemas.DeadLetterReasons(), schemas.DeadLetterReason(reason)) {
			return filter, fmt.Errorf("--reason is %q: use %s", reason, joined(schemas.DeadLetterReasons(), ", "))
		}
	}
	if filter.since, filter.until, err = parsePeriod(f.since, f.until, now); err != nil {
		return filter, err
	}
	if f.limit < 0 {
		return filter, fmt.Errorf("--limit is %d: use 1 or more, or 0 for no limit", f.limit)
	}
	if f.partition < -1 {
		return filter, fmt.Errorf("--partition is %d: use the number of a partition", f.partition)
	}
	if f.offset != "" && f.partition < 0 {
		return filter, errors.New("--offset needs --partition: offsets are counted in each partition by itself")
	}
	if filter.first, filter.last, err = parseOffsets(f.offset); err != nil {
		return filter, err
	}
	if f.source != "" {
		if _, ok := parsePosition(f.source); !ok {
			return filter, fmt.Errorf("--source is %q: use topic/partition/offset of a request record, as `dead-letters list` shows it", f.source)
		}
	}
	if f.requestID != "" {
		id, err := newIDFilter(f.requestID)
		if err != nil {
			return filter, fmt.Errorf("--request-id: %w", err)
		}
		filter.id = &id
	}
	return filter, nil
}

// parseOffsets reads one offset or a range that includes both its ends.
func parseOffsets(text string) (first, last int64, err error) {
	if text == "" {
		return 0, math.MaxInt64, nil
	}
	from, to, isRange := strings.Cut(text, "-")
	first, err = strconv.ParseInt(from, 10, 64)
	last = first
	if err == nil && isRange {
		if last = math.MaxInt64; to != "" {
			last, err = strconv.ParseInt(to, 10, 64)
		}
	}
	if err != nil || first < 0 || last < first {
		return 0, 0, fmt.Errorf("--offset is %q: use an offset such as 17, or a range such as 17-42 or 17-", text)
	}
	return first, last, nil
}

// takes looks at when the record was written and at its headers: what else is
// chosen is all that is read.
func (f *letterFilter) takes(r *kgo.Record) bool {
	switch {
	case r.Timestamp.Before(f.since), !f.until.IsZero() && !r.Timestamp.Before(f.until),
		f.source != "" && header(r, headerSource) != f.source,
		len(f.reasons) > 0 && !slices.Contains(f.reasons, header(r, headerReason)):
		return false
	default:
		return f.id == nil || f.id.mayBeIn(r.Value)
	}
}

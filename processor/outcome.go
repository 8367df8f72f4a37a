package processor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// The headers of the program's own records, as readers rely on them.
const (
	headerSource       = "coupongrant-source"
	headerAttempts     = "coupongrant-attempts"
	headerFirstAttempt = "coupongrant-first-attempt-at"
	headerInDoubt      = "coupongrant-in-doubt"
	headerNextAt       = "coupongrant-next-at"
	headerWaited       = "coupongrant-waited"
	headerAttemptLog   = "coupongrant-attempt-log"
	headerReason       = "coupongrant-reason"
	headerError        = "coupongrant-error"
	headerFailedAt     = "coupongrant-failed-at"
	headerVersion      = "coupongrant-version"
	headerValueSize    = "coupongrant-value-size"
	headerValueSHA256  = "coupongrant-value-sha256"
	headerReplayOf     = "coupongrant-replay-of" // of what a person puts back: `dead-letters replay` writes it

	headerTraceParent = "traceparent" // W3C trace context
	headerTraceState  = "tracestate"
)

// publisher turns ends into records. Pure but for the codec's known schemas.
type publisher struct {
	topics  Topics
	codec   *schemas.Codec
	version string
}

// record is what is published for an end. shrunk asks for its smallest form: an
// outcome without its optional members, for all else a dead letter with an empty
// value.
func (p publisher) record(e *end, shrunk bool) (*kgo.Record, error) {
	if shrunk {
		e = smallest(e)
	}
	switch e.kind {
	case endGranted, endFailed:
		return p.outcome(e, shrunk)
	case endParked:
		return p.parked(e), nil
	case endDeadLetter:
		return p.deadLetter(e, shrunk), nil
	default:
		panic(fmt.Sprintf("publisher: end of kind %d", e.kind))
	}
}

// smallest is the end that a shrunk record tells of: an outcome stays what it is, and
// a record whose bytes fit no topic of ours is a dead letter without them.
func smallest(e *end) *end {
	if e.kind == endGranted || e.kind == endFailed {
		return e
	}
	small := *e
	small.kind, small.reason = endDeadLetter, schemas.TooLarge
	small.detail = "the record is larger than the topic takes"
	if e.kind == endDeadLetter {
		small.detail += fmt.Sprintf("; it was to be %s: %s", e.reason, e.detail)
	}
	return &small
}

func (p publisher) outcome(e *end, shrunk bool) (*kgo.Record, error) {
	outcome, topic := p.event(e)
	if shrunk {
		shrink(outcome)
	}
	value, err := p.codec.EncodeOutcome(outcome)
	if err != nil {
		return nil, fmt.Errorf("encoding the outcome of %s: %w", e.task.source, err)
	}
	headers := append([]kgo.RecordHeader{{Key: headerSource, Value: []byte(e.task.source)}}, traceContext(e.task.record)...)
	return &kgo.Record{Topic: topic, Key: e.task.record.Key, Value: value, Headers: headers}, nil
}

func (p publisher) event(e *end) (outcome schemas.Outcome, topic string) {
	t := e.task
	ending := schemas.Ending{
		RequestID: t.request.RequestID, OccurredAt: t.request.OccurredAt, EndedAt: e.at,
		BizCode: t.request.BizCode, Channel: t.request.Channel,
		CouponCode: t.request.CouponCode, CouponType: t.request.CouponType, Trigger: t.request.Trigger,
		Attempts: int32(min(t.attempts, 1<<30)), AttemptLog: p.attempts(t), //nolint:gosec // bounded right here
	}
	if e.kind == endGranted {
		ending.GatewayRequestID = optional(e.coupon.RequestID)
		return &schemas.Granted{Ending: ending, Coupon: coupon(e.coupon)}, p.topics.Granted
	}
	failed := &schemas.Failed{Ending: ending, Reason: e.failure}
	if answer := t.lastAnswer; answer != nil && e.failure != schemas.ReasonExpired {
		failed.GatewayRequestID = optional(answer.RequestID)
		failed.GatewayCode = optional(answer.Code)
		failed.GatewaySubCode = optional(answer.SubCode)
		failed.GatewayMessage = optional(answer.Message)
	}
	return failed, p.topics.Failed
}

func coupon(c topclient.Coupon) schemas.Coupon {
	return schemas.Coupon{
		InstanceID: c.InstanceID, TemplateID: c.TemplateID, Discount: c.Discount, StartFee: c.StartFee,
		StartTime: c.StartTime, EndTime: c.EndTime, Name: c.Name,
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// shrink takes the optional members away: less to tell, but the same outcome.
func shrink(o schemas.Outcome) {
	switch o := o.(type) {
	case *schemas.Granted:
		o.Trigger, o.AttemptLog, o.GatewayRequestID, o.Coupon.Name = nil, nil, nil, nil
	case *schemas.Failed:
		o.Trigger, o.AttemptLog, o.GatewayRequestID = nil, nil, nil
		o.GatewayCode, o.GatewaySubCode, o.GatewayMessage = nil, nil, nil
	}
}

// parked carries the request's own bytes to the retry topic, with what is known
// of it in headers.
func (p publisher) parked(e *end) *kgo.Record {
	headers := append(p.history(e.task),
		kgo.RecordHeader{Key: headerNextAt, Value: []byte(rfc3339(e.next))},
		kgo.RecordHeader{Key: headerWaited, Value: []byte(e.task.waited.Round(time.Millisecond).String())})
	if made := p.attempts(e.task); len(made) > 0 {
		log, _ := json.Marshal(made) // times and texts: there is nothing to refuse
		headers = append(headers, kgo.RecordHeader{Key: headerAttemptLog, Value: log})
	}
	if of := namedIn(e.task.record, headerReplayOf); of != "" {
		headers = append(headers, kgo.RecordHeader{Key: headerReplayOf, Value: []byte(of)}) // it stays the same request
	}
	return &kgo.Record{
		Topic: p.topics.Retry, Key: e.task.record.Key, Value: e.task.record.Value,
		Headers: append(headers, traceContext(e.task.record)...),
	}
}

func (p publisher) deadLetter(e *end, empty bool) *kgo.Record {
	raw := e.task.record
	headers := append(p.history(e.task),
		kgo.RecordHeader{Key: headerReason, Value: []byte(e.reason)},
		kgo.RecordHeader{Key: headerError, Value: []byte(oneLine(e.detail))},
		kgo.RecordHeader{Key: headerFailedAt, Value: []byte(rfc3339(e.at))},
		kgo.RecordHeader{Key: headerVersion, Value: []byte(p.version)})
	key, value := raw.Key, raw.Value
	if empty && len(key) > maxKeyBytes { // nothing with it fits
		key = nil
	}
	if e.reason == schemas.TooLarge {
		sum := sha256.Sum256(raw.Value)
		headers = append(headers,
			kgo.RecordHeader{Key: headerValueSize, Value: []byte(strconv.Itoa(len(raw.Value)))},
			kgo.RecordHeader{Key: headerValueSHA256, Value: []byte(hex.EncodeToString(sum[:]))})
	}
	if empty {
		value = []byte{}
	}
	return &kgo.Record{
		Topic: p.topics.DeadLetter, Key: key, Value: value,
		Headers: append(headers, traceContext(raw)...),
	}
}

// attempts are the newest of a request, those before it was parked too.
func (p publisher) attempts(t *task) []schemas.Attempt {
	if t.topic != p.topics.Retry {
		return t.log
	}
	log := append(attemptsIn(headerText(t.record, headerAttemptLog)), t.log...)
	return log[max(0, len(log)-schemas.AttemptLogSize):]
}

// attemptsIn reads the log that parked wrote. A text that is no such log, or of a size that
// it cannot have, is not ours: none.
func attemptsIn(text string) (log []schemas.Attempt) {
	const maxLog, maxWord = 8192, 320 // topclient shows 80 runes of a code
	if len(text) > maxLog || json.Unmarshal([]byte(text), &log) != nil {
		return nil
	}
	if slices.ContainsFunc(log, func(a schemas.Attempt) bool { return len(a.About) > maxWord || len(a.Code) > maxWord }) {
		return nil
	}
	return log
}

// history is what parked records and dead letters say of the past, in headers.
func (p publisher) history(t *task) []kgo.RecordHeader {
	headers := []kgo.RecordHeader{
		{Key: headerSource, Value: []byte(t.source)},
		{Key: headerAttempts, Value: []byte(strconv.Itoa(t.attempts))},
		{Key: headerInDoubt, Value: []byte(strconv.FormatBool(t.inDoubt))},
	}
	if first := t.firstAttempt(); !first.IsZero() {
		headers = append(headers, kgo.RecordHeader{Key: headerFirstAttempt, Value: []byte(rfc3339(first))})
	}
	return headers
}

// traceContext copies the request's W3C trace context, within the lengths of the
// W3C recommendation, and nothing else: headers of producers may hold what
// results must not.
func traceContext(r *kgo.Record) []kgo.RecordHeader {
	var headers []kgo.RecordHeader
	for _, h := range r.Headers {
		if slices.ContainsFunc(headers, func(other kgo.RecordHeader) bool { return other.Key == h.Key }) {
			continue // only the first counts
		}
		known := h.Key == headerTraceParent && len(h.Value) <= 64 || h.Key == headerTraceState && len(h.Value) <= 512
		if known && isASCII(h.Value) {
			headers = append(headers, h)
		}
	}
	return headers
}

func isASCII(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c < ' ' || c > '~' })
}

func rfc3339(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// oneLine keeps an error fit for a header.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}

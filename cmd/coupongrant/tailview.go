package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// The kinds of a view.
const (
	kindGranted    = "granted"
	kindFailed     = "failed"
	kindDeadLetter = "dead-letter"
	kindUnreadable = "unreadable"
)

// view is a record of a result topic, as tail shows it and as its JSON.
type view struct {
	Kind      string    `json:"kind"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Written   time.Time `json:"written"` // Kafka timestamp
	Source    string    `json:"source"`  // topic/partition/offset of the request record

	RequestID        string        `json:"request_id,omitempty"`
	OccurredAt       *time.Time    `json:"occurred_at,omitempty"`
	EndedAt          *time.Time    `json:"ended_at,omitempty"`
	BizCode          string        `json:"biz_code,omitempty"`
	Channel          string        `json:"channel,omitempty"`
	CouponCode       string        `json:"coupon_code,omitempty"`
	CouponType       int32         `json:"coupon_type,omitempty"`
	Trigger          *viewTrigger  `json:"trigger,omitempty"`
	Attempts         *int          `json:"attempts,omitempty"`
	AttemptLog       []viewAttempt `json:"attempt_log,omitempty"` // the last ten
	GatewayRequestID *string       `json:"gateway_request_id,omitempty"`
	Coupon           *viewCoupon   `json:"coupon,omitempty"`

	Reason         string  `json:"reason,omitempty"`
	GatewayCode    *string `json:"gateway_code,omitempty"`
	GatewaySubCode *string `json:"gateway_sub_code,omitempty"`
	GatewayMessage *string `json:"gateway_message,omitempty"`

	Error          string     `json:"error,omitempty"`
	InDoubt        bool       `json:"in_doubt,omitempty"`
	FirstAttemptAt *time.Time `json:"first_attempt_at,omitempty"`
}

// viewAttempt is one call of the gateway.
type viewAttempt struct {
	At    time.Time `json:"at"`
	About string    `json:"about,omitempty"` // whose trouble the answer was; empty for a grant
	Code  string    `json:"code,omitempty"`
}

type viewTrigger struct {
	Kind      string  `json:"kind"`
	StoreID   *string `json:"store_id,omitempty"`
	ReceiptID *string `json:"receipt_id,omitempty"`
	ProgramID *string `json:"program_id,omitempty"`
	Milestone *string `json:"milestone,omitempty"`
}

type viewCoupon struct {
	InstanceID string  `json:"instance_id"` // text: it is above what JSON readers take for a number
	TemplateID *int64  `json:"template_id,omitempty"`
	Discount   *int64  `json:"discount,omitempty"`
	StartFee   *int64  `json:"start_fee,omitempty"`
	StartTime  *int64  `json:"start_time,omitempty"`
	EndTime    *int64  `json:"end_time,omitempty"`
	Name       *string `json:"name,omitempty"`
}

func viewOf(r *kgo.Record) view {
	return view{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
		Written: r.Timestamp.UTC(), Source: header(r, headerSource),
	}
}

func (v *view) position() position { return position{v.Topic, v.Partition, v.Offset} }

// deadLetter reads headers only: the value holds the open_id.
func (v *view) deadLetter(r *kgo.Record) {
	v.Kind = kindDeadLetter
	v.Reason = header(r, headerReason)
	v.Error = header(r, headerError)
	v.InDoubt = header(r, headerInDoubt) == "true"
	v.Attempts = headerCount(r, headerAttempts)
	v.EndedAt = headerTime(r, headerFailedAt)
	v.FirstAttemptAt = headerTime(r, headerFirstAttempt)
}

func (v *view) outcome(o schemas.Outcome) {
	switch o := o.(type) {
	case *schemas.Granted:
		v.Kind = kindGranted
		v.ending(o.Ending)
		v.Coupon = &viewCoupon{
			InstanceID: strconv.FormatInt(o.Coupon.InstanceID, 10), TemplateID: o.Coupon.TemplateID,
			Discount: o.Coupon.Discount, StartFee: o.Coupon.StartFee,
			StartTime: o.Coupon.StartTime, EndTime: o.Coupon.EndTime, Name: o.Coupon.Name,
		}
	case *schemas.Failed:
		v.Kind = kindFailed
		v.ending(o.Ending)
		v.Reason = string(o.Reason)
		v.GatewayCode, v.GatewaySubCode, v.GatewayMessage = o.GatewayCode, o.GatewaySubCode, o.GatewayMessage
	}
}

func (v *view) ending(e schemas.Ending) {
	v.RequestID, v.OccurredAt, v.EndedAt = e.RequestID, &e.OccurredAt, &e.EndedAt
	v.BizCode, v.Channel, v.CouponCode, v.CouponType = e.BizCode, e.Channel, e.CouponCode, e.CouponType
	n := int(e.Attempts)
	v.Attempts, v.GatewayRequestID = &n, e.GatewayRequestID
	for _, a := range e.AttemptLog[max(0, len(e.AttemptLog)-schemas.AttemptLogSize):] {
		v.AttemptLog = append(v.AttemptLog, viewAttempt(a))
	}
	if t := e.Trigger; t != nil {
		v.Trigger = &viewTrigger{
			Kind: t.Kind, StoreID: t.StoreID, ReceiptID: t.ReceiptID, ProgramID: t.ProgramID, Milestone: t.Milestone,
		}
	}
}

// shorten leaves the beginnings of its texts, where memory has to hold many views.
func (v *view) shorten() {
	texts := []*string{
		&v.BizCode, &v.Channel, &v.CouponCode, &v.Reason, &v.Error,
		v.GatewayRequestID, v.GatewayCode, v.GatewaySubCode, v.GatewayMessage,
	}
	for i := range v.AttemptLog {
		texts = append(texts, &v.AttemptLog[i].About, &v.AttemptLog[i].Code)
	}
	if t := v.Trigger; t != nil {
		texts = append(texts, &t.Kind, t.StoreID, t.ReceiptID, t.ProgramID, t.Milestone)
	}
	if v.Coupon != nil {
		texts = append(texts, v.Coupon.Name)
	}
	for _, text := range texts {
		if text != nil {
			*text = beginning(*text)
		}
	}
}

// line is the view for people. What came from outside cannot move their cursor.
func (v view) line() string {
	at := v.Written.Local().Format("15:04:05.000")
	switch v.Kind {
	case kindGranted:
		return fmt.Sprintf("%s  granted  %s  coupon %s, %s", at, printable(v.RequestID), v.Coupon.InstanceID, attempts(v.Attempts))
	case kindFailed:
		return fmt.Sprintf("%s  failed   %s  %s%s, %s", at, printable(v.RequestID), printable(v.Reason), v.gatewaySays(), attempts(v.Attempts))
	case kindDeadLetter:
		return fmt.Sprintf("%s  dead     %s  %s: %s", at, printable(v.Source), printable(v.Reason), printable(v.Error))
	default:
		return fmt.Sprintf("%s  ?        %s  %s", at, v.position(), printable(v.Error))
	}
}

func (v view) gatewaySays() string {
	var words []string
	for _, w := range []*string{v.GatewayCode, v.GatewaySubCode, v.GatewayMessage} {
		if w != nil && *w != "" {
			words = append(words, printable(*w))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, " ") + ")"
}

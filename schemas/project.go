package schemas

import (
	"errors"
	"slices"
	"time"
	"unicode/utf8"
)

// native is what goavro made of a record: read by field name, as the writer's
// schema says. A field that the writer does not have reads as nil or zero, which
// is the default of every field of ours that has one. The first field that is
// not what it must be is remembered in err, once for a whole value.
type native struct {
	node   *node
	values map[string]any
	err    *error
}

func newNative(n *node, v any) (native, *error) {
	err := new(error)
	values, ok := v.(map[string]any)
	if !ok || n.kind != "record" {
		*err = errors.New("the value is no record")
	}
	return native{node: n, values: values, err: err}, err
}

// get returns a field's value and type, out of the union it may stand in.
func (r native) get(name string) (any, *node) {
	f, ok := r.node.fieldNamed(name)
	if !ok {
		return nil, nil
	}
	v := r.values[name]
	if f.typ.kind != "union" {
		return v, f.typ
	}
	// goavro wraps what is not null in a map of one, keyed by the branch.
	wrapped, _ := v.(map[string]any)
	for _, b := range f.typ.branches {
		if inner, ok := wrapped[b.key()]; ok {
			return inner, b
		}
	}
	if v != nil {
		r.fail(name)
	}
	return nil, nil
}

func (r native) fail(name string) {
	if *r.err == nil {
		*r.err = errors.New(name + " is not of its type")
	}
}

// optText returns nil for null. Bytes are text to a reader of strings.
func (r native) optText(name string) *string {
	v, _ := r.get(name)
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return &v
	case []byte:
		if s := string(v); utf8.ValidString(s) {
			return &s
		}
	}
	r.fail(name)
	return nil
}

func (r native) text(name string) string {
	s := r.optText(name)
	if s == nil {
		r.fail(name)
		return ""
	}
	return *s
}

func (r native) optNumber(name string) *int64 {
	v, _ := r.get(name)
	switch v := v.(type) {
	case nil:
		return nil
	case int64:
		return &v
	case int32:
		wide := int64(v)
		return &wide
	}
	r.fail(name)
	return nil
}

func (r native) number(name string) int64 {
	n := r.optNumber(name)
	if n == nil {
		r.fail(name)
		return 0
	}
	return *n
}

// small reads an int: the gate lets no writer's long stand for it.
func (r native) small(name string) int32 { return int32(r.number(name)) }

func (r native) millis(name string) time.Time { return time.UnixMilli(r.number(name)).UTC() }

// optMillis returns the zero time for null, and for no number: that time itself, which
// some writers have for one that is not set, comes out as the moment before it.
func (r native) optMillis(name string) time.Time {
	n := r.optNumber(name)
	if n == nil {
		return time.Time{}
	}
	at := time.UnixMilli(*n).UTC()
	if at.IsZero() {
		return at.Add(-1)
	}
	return at
}

// record returns a nested record, and false for null.
func (r native) record(name string) (native, bool) {
	v, n := r.get(name)
	if v == nil {
		return native{}, false
	}
	return r.nested(name, n, v)
}

func (r native) nested(name string, n *node, v any) (native, bool) {
	values, ok := v.(map[string]any)
	if !ok || n.kind != "record" {
		r.fail(name)
		return native{}, false
	}
	return native{node: n, values: values, err: r.err}, true
}

func projectRequest(n *node, v any) (Request, error) {
	r, err := newNative(n, v)
	q := Request{
		RequestID:  r.text("request_id"),
		OccurredAt: r.millis("occurred_at"),
		ExpiresAt:  r.optMillis("expires_at"),
		BizCode:    r.text("biz_code"),
		OpenID:     NewOpenID(r.text("open_id")),
		Channel:    r.text("channel"),
		CouponCode: r.text("coupon_code"),
		CouponType: r.small("coupon_type"),
		Extra:      r.optText("extra"),
		Trigger:    r.trigger(),
	}
	return q, *err
}

func (r native) trigger() *Trigger {
	t, ok := r.record("trigger")
	if !ok {
		return nil
	}
	return &Trigger{
		Kind:      t.text("kind"),
		StoreID:   t.optText("store_id"),
		ReceiptID: t.optText("receipt_id"),
		ProgramID: t.optText("program_id"),
		Milestone: t.optText("milestone"),
	}
}

func projectGranted(n *node, v any) (*Granted, error) {
	r, err := newNative(n, v)
	c, ok := r.record("coupon")
	if !ok {
		r.fail("coupon")
		return nil, *err
	}
	g := &Granted{Ending: r.ending("granted_at"), Coupon: Coupon{
		InstanceID: c.number("instance_id"),
		TemplateID: c.optNumber("template_id"),
		Discount:   c.optNumber("discount"),
		StartFee:   c.optNumber("start_fee"),
		StartTime:  c.optNumber("start_time"),
		EndTime:    c.optNumber("end_time"),
		Name:       c.optText("name"),
	}}
	return g, *err
}

func projectFailed(n *node, v any) (*Failed, error) {
	r, err := newNative(n, v)
	f := &Failed{
		Ending:         r.ending("failed_at"),
		Reason:         FailureReason(r.text("reason")),
		GatewayCode:    r.optText("gateway_code"),
		GatewaySubCode: r.optText("gateway_sub_code"),
		GatewayMessage: r.optText("gateway_message"),
	}
	// A later version's symbol is the enum's default to us.
	if !slices.Contains(FailureReasons(), f.Reason) {
		f.Reason = ReasonUnknown
	}
	return f, *err
}

// stamp is millis for outcomes, which are printed as JSON: it has no room for
// years beyond 9999. A request's times are the rules' business.
func (r native) stamp(name string) time.Time {
	t := r.millis(name)
	if t.Year() < 0 || t.Year() > 9999 {
		r.fail(name)
	}
	return t
}

func (r native) ending(endedAt string) Ending {
	return Ending{
		RequestID:        r.text("request_id"),
		OccurredAt:       r.stamp("occurred_at"),
		EndedAt:          r.stamp(endedAt),
		BizCode:          r.text("biz_code"),
		Channel:          r.text("channel"),
		CouponCode:       r.text("coupon_code"),
		CouponType:       r.small("coupon_type"),
		Trigger:          r.trigger(),
		Attempts:         r.small("attempts"),
		AttemptLog:       r.attemptLog(),
		GatewayRequestID: r.optText("gateway_request_id"),
	}
}

func (r native) attemptLog() []Attempt {
	v, n := r.get("attempt_log")
	items, ok := v.([]any)
	if !ok {
		if v != nil {
			r.fail("attempt_log")
		}
		return nil
	}
	var log []Attempt
	for _, item := range items {
		a, ok := r.nested("attempt_log", n.items, item)
		if !ok {
			return nil
		}
		log = append(log, Attempt{At: a.stamp("at"), About: a.text("about"), Code: a.text("code")})
	}
	return log
}

package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/linkedin/goavro/v2"
)

// encode writes the wire format: a value of one of our own schemas after its id.
func (c contract) encode(id int, v map[string]any) ([]byte, error) {
	header := binary.BigEndian.AppendUint32([]byte{magic}, uint32(id))
	value, err := c.codec.BinaryFromNative(header, v)
	if err != nil {
		// goavro's text may quote a member.
		return nil, fmt.Errorf("a member is not what %s says", c.root.shortName())
	}
	return value, nil
}

// optional wraps what is not nil in the union branch that goavro wants named.
func optional[T any](branch string, v *T) any {
	if v == nil {
		return nil
	}
	return goavro.Union(branch, *v)
}

// requestFields refuses what is not UTF-8 in the members that name what is
// granted to whom; the others are mended.
func requestFields(r Request) (map[string]any, error) {
	for _, s := range []string{r.RequestID, r.BizCode, r.OpenID.Reveal(), r.Channel, r.CouponCode} {
		if !utf8.ValidString(s) {
			return nil, errors.New("a string of the request is not UTF-8")
		}
	}
	var expires any
	if !r.ExpiresAt.IsZero() {
		expires = goavro.Union("long.timestamp-millis", r.ExpiresAt)
	}
	return map[string]any{
		"request_id":  r.RequestID,
		"occurred_at": r.OccurredAt,
		"expires_at":  expires,
		"biz_code":    r.BizCode,
		"open_id":     r.OpenID.Reveal(),
		"channel":     r.Channel,
		"coupon_code": r.CouponCode,
		"coupon_type": r.CouponType,
		"extra":       optional("string", clean(r.Extra)),
		"trigger":     triggerField(r.Trigger),
	}, nil
}

func triggerField(t *Trigger) any {
	if t == nil {
		return nil
	}
	return goavro.Union(triggerName, map[string]any{
		"kind":       cleanText(t.Kind),
		"store_id":   optional("string", clean(t.StoreID)),
		"receipt_id": optional("string", clean(t.ReceiptID)),
		"program_id": optional("string", clean(t.ProgramID)),
		"milestone":  optional("string", clean(t.Milestone)),
	})
}

func grantedFields(g *Granted) map[string]any {
	v := endingFields(g.Ending, "granted_at")
	v["coupon"] = map[string]any{
		"instance_id": g.Coupon.InstanceID,
		"template_id": optional("long", g.Coupon.TemplateID),
		"discount":    optional("long", g.Coupon.Discount),
		"start_fee":   optional("long", g.Coupon.StartFee),
		"start_time":  optional("long", g.Coupon.StartTime),
		"end_time":    optional("long", g.Coupon.EndTime),
		"name":        optional("string", clean(g.Coupon.Name)),
	}
	return v
}

func failedFields(f *Failed) map[string]any {
	v := endingFields(f.Ending, "failed_at")
	v["reason"] = string(f.Reason)
	v["gateway_code"] = optional("string", clean(f.GatewayCode))
	v["gateway_sub_code"] = optional("string", clean(f.GatewaySubCode))
	v["gateway_message"] = optional("string", clean(f.GatewayMessage))
	return v
}

func endingFields(e Ending, endedAt string) map[string]any {
	return map[string]any{
		"request_id":         cleanText(e.RequestID),
		"occurred_at":        e.OccurredAt,
		endedAt:              e.EndedAt,
		"biz_code":           cleanText(e.BizCode),
		"channel":            cleanText(e.Channel),
		"coupon_code":        cleanText(e.CouponCode),
		"coupon_type":        e.CouponType,
		"trigger":            triggerField(e.Trigger),
		"attempts":           e.Attempts,
		"attempt_log":        attemptLogField(e.AttemptLog),
		"gateway_request_id": optional("string", clean(e.GatewayRequestID)),
	}
}

// attemptLogField keeps the newest attempts.
func attemptLogField(log []Attempt) []any {
	log = log[max(0, len(log)-AttemptLogSize):]
	items := make([]any, len(log))
	for i, a := range log {
		items[i] = map[string]any{"at": a.At, "about": cleanText(a.About), "code": cleanText(a.Code)}
	}
	return items
}

// cleanText mends strings that came from the gateway and are not UTF-8: an
// outcome must be publishable, and readers of other languages refuse such bytes.
func cleanText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func clean(s *string) *string {
	if s == nil {
		return nil
	}
	mended := cleanText(*s)
	return &mended
}

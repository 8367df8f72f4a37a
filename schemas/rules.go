package schemas

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxArgumentBytes bounds the strings of one request that go to the gateway,
// all together.
const maxArgumentBytes = 8 << 10

// MaxRequestID is how many characters Tmall takes as out_id.
const MaxRequestID = 64

// DefaultCouponTypes are the numbers Tmall documents: category, store and
// store-general coupons.
func DefaultCouponTypes() []int32 { return []int32{247, 276, 357} }

// Rules are what a readable request must keep to be called for.
type Rules struct {
	CouponTypes []int32 // those accepted; empty: DefaultCouponTypes
}

// Check returns nil or a *DecodeError with InvalidRequest that names the member
// and its rule, never its value.
func (r Rules) Check(q Request) error {
	if err := r.check(q); err != nil {
		return &DecodeError{Reason: InvalidRequest, Err: err}
	}
	return nil
}

func (r Rules) check(q Request) error {
	if err := checkRequestID(q.RequestID); err != nil {
		return err
	}
	if err := checkArguments(q); err != nil {
		return err
	}
	if !saneTime(q.OccurredAt) {
		return errors.New("occurred_at is not between the years 2000 and 9999")
	}
	if !q.ExpiresAt.IsZero() && !saneTime(q.ExpiresAt) {
		return errors.New("expires_at is not between the years 2000 and 9999")
	}
	types := r.CouponTypes
	if len(types) == 0 {
		types = DefaultCouponTypes()
	}
	if !slices.Contains(types, q.CouponType) {
		return errors.New("coupon_type is not one of request.coupon_types")
	}
	return nil
}

// checkRequestID refuses control characters although Tmall does not: the id
// stands in signed forms, logs and terminals.
func checkRequestID(id string) error {
	if n := utf8.RuneCountInString(id); n < 1 || n > MaxRequestID {
		return fmt.Errorf("request_id has %d characters, 1 to %d are allowed", n, MaxRequestID)
	}
	if strings.TrimSpace(id) == "" {
		return errors.New("request_id is blank")
	}
	if strings.ContainsFunc(id, unicode.IsControl) {
		return errors.New("request_id holds a control character")
	}
	return nil
}

func checkArguments(q Request) error {
	arguments := []struct{ name, value string }{
		{"biz_code", q.BizCode},
		{"open_id", q.OpenID.Reveal()},
		{"channel", q.Channel},
		{"coupon_code", q.CouponCode},
	}
	size := len(q.RequestID)
	for _, a := range arguments {
		if a.value == "" {
			return fmt.Errorf("%s is empty", a.name)
		}
		size += len(a.value)
	}
	if q.Extra != nil {
		size += len(*q.Extra)
	}
	if size > maxArgumentBytes {
		return fmt.Errorf("the arguments take %d bytes, %d are allowed", size, maxArgumentBytes)
	}
	return nil
}

// saneTime tells times from other numbers: seconds read as milliseconds end in
// 1970, microseconds beyond the year 9999, which JSON cannot hold either.
func saneTime(t time.Time) bool { return t.Year() >= 2000 && t.Year() <= 9999 }

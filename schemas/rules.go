package schemas

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxArgumentBytes bounds the strings of one request that go to the gateway,
// all together.
const maxArgumentBytes = 8 << 10

// MaxRequestID is how many characters Tmall takes as out_id.
const MaxRequestID = 64

// Rules are what a readable request must keep to be called for.
type Rules struct {
	CouponTypes []int32 // accepted besides those that Tmall documents
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
	if year := q.OccurredAt.Year(); year < 1970 || year > 9999 { // JSON has no words for later ones
		return errors.New("occurred_at is not between the years 1970 and 9999")
	}
	if !q.ExpiresAt.IsZero() && q.ExpiresAt.Year() < 1970 { // what some writers have for a time that is not set
		return errors.New("expires_at is before the year 1970")
	}
	switch q.CouponType {
	case 247, 276, 357: // category, store and store-general coupons
		return nil
	}
	if !slices.Contains(r.CouponTypes, q.CouponType) {
		return errors.New("coupon_type is not 247, 276 or 357, nor one of request.coupon_types")
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

package schemas

import "time"

// Outcome is what a request ends in: *Granted or *Failed, nothing else.
type Outcome interface{ outcome() }

func (*Granted) outcome() {}
func (*Failed) outcome()  {}

// Ending holds the members that both outcomes share.
type Ending struct {
	RequestID        string
	OccurredAt       time.Time
	EndedAt          time.Time // granted_at or failed_at
	BizCode          string
	Channel          string
	CouponCode       string
	CouponType       int32
	Trigger          *Trigger
	Attempts         int32     // a lower bound after a crash
	AttemptLog       []Attempt // oldest first, the last AttemptLogSize
	GatewayRequestID *string
}

// AttemptLogSize is how many attempts an outcome carries at most.
const AttemptLogSize = 10

// Attempt is one call of the gateway, as analysts see it.
type Attempt struct {
	At    time.Time `json:"at"`
	About string    `json:"about"` // whose trouble the answer was; empty for a grant
	Code  string    `json:"code"`  // the gateway's code, or a word for what stood in its place
}

// Granted is one CouponGranted event.
type Granted struct {
	Ending
	Coupon Coupon
}

// Coupon is what the gateway said of the coupon it granted. Tmall documents no
// unit for Discount, StartFee, StartTime and EndTime: they are carried as
// answered.
type Coupon struct {
	InstanceID int64
	TemplateID *int64
	Discount   *int64
	StartFee   *int64
	StartTime  *int64
	EndTime    *int64
	Name       *string
}

// Failed is one CouponGrantFailed event.
type Failed struct {
	Ending
	Reason         FailureReason
	GatewayCode    *string
	GatewaySubCode *string
	GatewayMessage *string
}

// FailureReason is the reason of a CouponGrantFailed: a symbol of its enum.
type FailureReason string

// The reasons; in brackets the gateway's business code.
const (
	ReasonUnknown           FailureReason = "UNKNOWN"
	ReasonLimitReached      FailureReason = "LIMIT_REACHED"      // -7
	ReasonOutOfStock        FailureReason = "OUT_OF_STOCK"       // -6
	ReasonCouponInvalid     FailureReason = "COUPON_INVALID"     // -3
	ReasonBusinessException FailureReason = "BUSINESS_EXCEPTION" // -11
	ReasonRejected          FailureReason = "REJECTED"
	ReasonExpired           FailureReason = "EXPIRED"
)

// DeadLetterReason says why a record ended without an outcome.
type DeadLetterReason string

// The reasons of a dead letter.
const (
	Undecodable        DeadLetterReason = "undecodable"
	UnknownSchema      DeadLetterReason = "unknown-schema"
	InvalidRequest     DeadLetterReason = "invalid-request"
	TooLarge           DeadLetterReason = "too-large"
	GrantUnknown       DeadLetterReason = "grant-unknown"
	ConflictingRequest DeadLetterReason = "conflicting-request"
)

// FailureReasons lists every reason, in the order of the enum.
func FailureReasons() []FailureReason {
	return []FailureReason{
		ReasonUnknown, ReasonLimitReached, ReasonOutOfStock, ReasonCouponInvalid,
		ReasonBusinessException, ReasonRejected, ReasonExpired,
	}
}

// DeadLetterReasons lists every reason.
func DeadLetterReasons() []DeadLetterReason {
	return []DeadLetterReason{Undecodable, UnknownSchema, InvalidRequest, TooLarge, GrantUnknown, ConflictingRequest}
}

package schemas

import "time"

// OpenID is the encrypted Taobao id of a member: personal data. It prints as
// [redacted]. Only Reveal gives the text, for the gateway, for request records, and
// to compare requests.
type OpenID struct{ hidden }

// NewOpenID hides text.
func NewOpenID(text string) OpenID { return OpenID{hide(text)} }

// Request is one CouponGrantRequested event.
type Request struct {
	RequestID  string    // 1 to 64 characters; the out_id of every attempt
	OccurredAt time.Time // UTC, milliseconds
	ExpiresAt  time.Time // UTC, milliseconds; zero: never
	BizCode    string
	OpenID     OpenID
	Channel    string
	CouponCode string // Tmall's uuid
	CouponType int32  // Tmall's own number
	Extra      *string
	Trigger    *Trigger
}

// Trigger says what made the producer ask; copied to the outcome for analysts.
type Trigger struct {
	Kind      string // store-checkout, loyalty-milestone, or a later kind
	StoreID   *string
	ReceiptID *string
	ProgramID *string
	Milestone *string
}

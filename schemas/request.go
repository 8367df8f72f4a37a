package schemas

import (
	"fmt"
	"log/slog"
	"time"
)

// Redacted is what every personal or secret value of this program prints as.
const Redacted = "[redacted]"

// OpenID is the encrypted Taobao id of a member: personal data. It prints as
// Redacted however it is formatted, logged or marshalled, and as an address at
// worst: fmt asks no method of what it reaches through an unexported field. Only
// Reveal gives the text, for the gateway, for request records, and to compare
// requests. Compare by Reveal.
type OpenID struct{ text *string }

// NewOpenID hides text.
func NewOpenID(text string) OpenID { return OpenID{&text} }

// Reveal returns the id itself.
func (o OpenID) Reveal() string {
	if o.text == nil {
		return ""
	}
	return *o.text
}

// String hides the id.
func (OpenID) String() string { return Redacted }

// GoString hides the id from %#v.
func (OpenID) GoString() string { return Redacted }

// Format hides the id from every other verb, %x and %d among them.
func (OpenID) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// MarshalJSON hides the id from JSON.
func (OpenID) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalText hides the id from text encoders.
func (OpenID) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue hides the id from slog.
func (OpenID) LogValue() slog.Value { return slog.StringValue(Redacted) }

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

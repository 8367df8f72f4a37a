package topclient

import (
	"context"
	"net/http"
	"time"
)

// Config of a Client.
type Config struct {
	URL        string        // of the gateway's /router/rest
	SignMethod string        // md5, hmac or hmac-sha256
	Timeout    time.Duration // of the whole call
	UserAgent  string
}

// Grant is the business content of one call: the DTO of tmall.nrt.coupon.send.
type Grant struct {
	BizCode    string
	OpenID     string // personal: Grant redacts it when printed
	Extra      string // empty: not sent
	Channel    string
	OutID      string // the idempotency id
	UUID       string // the coupon's code
	CouponType int32
}

// Coupon is a granted coupon as the gateway describes it, with raw numbers.
type Coupon struct {
	InstanceID int64
	TemplateID *int64
	Discount   *int64
	StartFee   *int64
	StartTime  *int64
	EndTime    *int64
	Name       *string
	RequestID  string // the gateway's id of the call; empty if it gave none
}

// Client makes calls. Safe for concurrent use.
type Client struct{}

// New returns a client; hc nil means a transport of its own.
func New(cfg Config, hc *http.Client) (*Client, error) { panic("unwritten") }

// Send makes exactly one attempt. Every error is an *Error.
func (c *Client) Send(ctx context.Context, cred Credentials, g Grant) (Coupon, error) {
	panic("unwritten")
}

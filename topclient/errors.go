package topclient

import (
	"strconv"
	"strings"
	"time"
)

// About says whom an answer is about.
type About uint8

// Whom an answer can be about.
const (
	AboutUnknown About = iota // not understood: treated as in doubt, stops nothing
	AboutRequest              // this request: refused, or to be tried again for its own sake
	AboutGateway              // Tmall or the way to it: down, slow, throttling
	AboutApp                  // our app: credentials, permission, clock, our own bug
)

// String is a word fit for a label: unknown, request, gateway, app.
func (a About) String() string {
	switch a {
	case AboutRequest:
		return "request"
	case AboutGateway:
		return "gateway"
	case AboutApp:
		return "app"
	default:
		return "unknown"
	}
}

// Values of Error.Code where the gateway gave no code. An answer that is no
// envelope of the gateway has CodeBadBody, or "http-" and the status if that is
// not 200.
const (
	CodeNotSendable    = "not-sendable"    // the Grant: refused here, never sent
	CodeNoCredentials  = "no-credentials"  // app key, secret or session is empty: never sent
	CodeCanceled       = "canceled"        // the caller cancelled
	CodeTimeout        = "timeout"         // Config.Timeout or the caller's deadline passed
	CodeDNS            = "dns"             // the host's name could not be resolved
	CodeRefused        = "refused"         // nobody listens
	CodeTLS            = "tls"             // no handshake: certificate, version, not TLS
	CodeConnectTimeout = "connect-timeout" // dialling or the handshake took too long
	CodeConnect        = "connect"         // no connection for any other cause
	CodeConnectionLost = "connection-lost" // between the first byte sent and the answer
	CodeBadBody        = "bad-body"        // not an envelope: HTML, empty, cut short, too large, another root
	CodeNoCode         = "no-code"         // an error envelope without a code
	CodeNoCoupon       = "no-coupon"       // a success envelope without a coupon's id
	CodeAmbiguous      = "ambiguous"       // two answers in one
)

// Values of Error.Business: the API's own codes.
const (
	BusinessCouponInvalid = "-3"    // the coupon is not valid any more
	BusinessOutOfStock    = "-6"    // none left
	BusinessLimitReached  = "-7"    // the member has as many as one may
	BusinessException     = "-11"   // an answer, not a silence: nothing granted
	BusinessSystemError   = "-9999" // may have granted
)

// otherCode is the label of codes that no list here has.
const otherCode = "other"

// Error is the answer of an attempt that granted nothing we know of. Its texts
// come from the gateway: cut, without control characters, and without what we
// sent to it.
type Error struct {
	About          About
	MayHaveGranted bool          // a grant may have happened all the same
	Throttled      bool          // a limit was hit: wait RetryAfter
	Canceled       bool          // the caller cancelled; a deadline is CodeTimeout, whoever set it
	Code           string        // the gateway's code, or one of the Code words
	SubCode        string        // as answered; empty if none
	Business       string        // one of the Business codes, or empty: not a business code of the API
	RefusesID      bool          // it refuses the out_id, and nothing else: another request has used it, or it takes no such id
	Message        string        // what the gateway, or the network, says: at most 200 runes
	RequestID      string        // the gateway's id of the call; support asks for it
	Host           string        // the gateway's machine, as it names itself; support asks for it too
	RetryAfter     time.Duration // of a throttle by the platform: how long the ban lasts; 0 if it does not say
	Sent           bool          // request bytes were, or may have been, written
	err            error         // the cause if it is ours or the system's; never holds bytes of the answer
}

// Error is one line: whom it is about, the code, the text, and whether a grant
// may have happened.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(Method + ": about " + e.About.String() + ": " + e.Code)
	if e.SubCode != "" {
		b.WriteString(" (" + e.SubCode + ")")
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.RequestID != "" {
		b.WriteString(" [request_id " + e.RequestID)
		if e.Host != "" { // which the gateway's support asks for
			b.WriteString(" at " + e.Host)
		}
		b.WriteString("]")
	}
	if e.MayHaveGranted {
		b.WriteString("; may have granted")
	}
	return b.String()
}

// Unwrap gives the cause of an attempt without an answer, such as
// context.Canceled or syscall.ECONNREFUSED, and nil for an answered one.
func (e *Error) Unwrap() error { return e.err }

// LimitOfPlatform says that the limit that was hit is one of the platform, by its
// own codes, which it checks before anyone looks at the request. Any other throttle
// is the service's word, which may be about this request alone.
func (e *Error) LimitOfPlatform() bool {
	n, err := strconv.Atoi(e.Code)
	return e.Throttled && err == nil && platformCodes[n].verdict.throttled
}

// Label is the code fit for a metric: the business code if there is one, else
// Code, and "other" for a code that is in no list, so that a gateway cannot make
// labels without bound.
func (e *Error) Label() string {
	if e.Business != "" {
		return e.Business
	}
	if isListed(e.Code) {
		return e.Code
	}
	return otherCode
}

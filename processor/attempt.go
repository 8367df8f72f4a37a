package processor

import (
	"context"
	"errors"
	"time"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// attempter makes one call of the gateway: exactly one attempt, no sleep, no
// retry. Safe for concurrent use.
type attempter struct {
	client      *topclient.Client
	credentials *topclient.CredentialSource
	timeout     time.Duration
}

// answered is what one attempt came to.
type answered struct {
	task   *task
	at     time.Time // when the call began, with its monotonic reading: a wall clock may be set meanwhile
	took   time.Duration
	coupon topclient.Coupon
	err    *topclient.Error // nil: granted
}

// Attempt calls for t. It reads only the request, which no one writes while a call
// is in flight.
func (a *attempter) Attempt(ctx context.Context, t *task) answered {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	began := time.Now()
	coupon, err := a.client.Send(ctx, a.credentials.Current(), grant(&t.request))
	ans := answered{task: t, at: began, took: time.Since(began), coupon: coupon}
	if err != nil && !errors.As(err, &ans.err) {
		// Send promises an *Error. Anything else was not understood, and what
		// is not understood leaves doubt.
		ans.err = &topclient.Error{About: topclient.AboutUnknown, MayHaveGranted: true, Code: "unknown-error"}
	}
	return ans
}

// grant is the business content of every attempt for r: the same each time, so
// that the gateway can recognise a repeat.
func grant(r *schemas.Request) topclient.Grant {
	g := topclient.Grant{
		BizCode: r.BizCode, OpenID: r.OpenID.Reveal(), Channel: r.Channel,
		OutID: r.RequestID, UUID: r.CouponCode, CouponType: r.CouponType,
	}
	if r.Extra != nil {
		g.Extra = *r.Extra
	}
	return g
}

// logged is the attempt as outcomes carry it.
func (a answered) logged() schemas.Attempt {
	at := a.at.UTC()
	if a.err == nil {
		return schemas.Attempt{At: at}
	}
	code := a.err.Code
	if a.err.Business != "" {
		code = a.err.Business
	}
	return schemas.Attempt{At: at, About: a.err.About.String(), Code: code}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/coupongrant/coupongrant/topclient"
)

// expiry is when the merchant's session ends, as a person has said; zero: nobody
// has. Nothing stops because of it: the gateway's word counts.
type expiry struct{ time.Time }

// String is empty if nobody has said it.
func (e expiry) String() string {
	if e.IsZero() {
		return ""
	}
	return e.Format(time.RFC3339)
}

// parseExpiry takes a time, or a date: the beginning of that day in Beijing,
// where sessions are made.
func parseExpiry(text string) (expiry, error) {
	if text == "" {
		return expiry{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return expiry{at}, nil
	}
	at, err := time.ParseInLocation(time.DateOnly, text, topclient.Zone)
	if err != nil {
		return expiry{}, errors.New("use a date such as 2027-02-28, or a time such as 2027-02-28T16:00:00Z")
	}
	return expiry{at}, nil
}

// sessionMend is what helps when a session ends, or has ended.
const sessionMend = "authorise again, replace the content of gateway.session_file, and set gateway.session_expires_at anew"

func expiryValue(to *expiry) value { return scalar[expiry]{to, parseExpiry} }

// sessionWarnings come when so much is left.
var sessionWarnings = []time.Duration{14 * day, 7 * day, 3 * day, day, 0}

// due is how many warnings are due when so much is left, and how long it is
// until the next; 0: there is none.
func due(left time.Duration) (n int, next time.Duration) {
	for n < len(sessionWarnings) && left <= sessionWarnings[n] {
		n++
	}
	if n < len(sessionWarnings) {
		next = left - sessionWarnings[n]
	}
	return n, next
}

// warn says in the log how much is left of the session, at each of sessionWarnings once,
// until ctx ends. It looks at the clock every hour: a machine can be suspended.
func (e expiry) warn(ctx context.Context, log *slog.Logger) {
	said := 0
	for {
		left := time.Until(e.Time)
		n, next := due(left)
		if n > said {
			said = n
			e.tell(log, left)
		}
		if n == len(sessionWarnings) {
			<-ctx.Done()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(next, time.Hour)):
		}
	}
}

func (e expiry) tell(log *slog.Logger, left time.Duration) {
	if left <= 0 {
		log.Warn("the gateway session has expired by what gateway.session_expires_at says; calls go on for as long as the gateway takes them", "expires_at", e.String(), "mend", sessionMend)
		return
	}
	log.Warn("the gateway session expires soon", "days_left", fmt.Sprintf("%.1f", left.Hours()/24), "expires_at", e.String(), "mend", sessionMend)
}

// watchSession shows and warns, if it is known when the session ends.
func watchSession(lc fx.Lifecycle, cfg Config, log *slog.Logger, metrics prometheus.Registerer) error {
	at := cfg.SessionExpiresAt
	if at.IsZero() {
		return nil
	}
	background(lc, func(ctx context.Context) { at.warn(ctx, log.With("component", "credentials")) })
	return metrics.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coupongrant_session_remaining_seconds",
		Help: "Until gateway.session_expires_at; below 0 after it. Divide by 86400 for days.",
	}, func() float64 { return time.Until(at.Time).Seconds() }))
}

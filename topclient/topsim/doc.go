// Package topsim is a gateway of the Taobao Open Platform that grants coupons
// with tmall.nrt.coupon.send and goes wrong on order. It runs in the process of
// a test, by Transport in fake time or by ServeHTTP over sockets, and as a
// process of its own.
//
// One call goes through the files in this order:
//
//	sim.go                  Simulator: a call from its arrival to its answer
//	serve.go, transport.go  the two roads: sockets, and the caller's goroutine
//	form.go                 query and body -> parameters
//	checks.go               whether the gateway takes the call, in ten steps
//	sign.go, dto.go         the signature and the business content, for the checks
//	quota.go                calls allowed a second and a day
//	rules.go                which behaviour strikes the call, if any
//	ledger.go               one grant for one out_id; the service behind the gateway
//	ledgerfile.go           grants in a file, before they are answered
//	answer.go, document.go  what happened -> envelope -> bytes
//	forms.go                the ways to say -3, -6, -7, -11, -9999
//
// and beside them
//
//	config.go               apps, coupons, quotas, switches
//	behaviour.go            what can go wrong, as a value
//	faults*.go              all of it by name
//	script.go               a timeline of behaviours
//	ledgerreads.go, stats.go, control.go  what tests and audits read
//	quick.go                a gateway for measurements, without any of this
//
// # Grants
//
// The first valid call of an out_id grants: an instance id above 2^53 is stored,
// in the data file too, before the answer is chosen. So every fault exists
// before the grant (nothing is granted) and after it (the coupon is the
// member's, whatever the caller sees). A repeat grants nothing, unless
// Config.Retention has made the service forget the out_id; such an out_id is in
// Ledger.Violations.
//
// Rules strike only calls that pass every check: a wrong signature is refused in
// the middle of an outage as well, so that no fault can hide a client's mistake.
// The exceptions are "refuse" and "bad-certificate", which come before a byte of
// the call is read and therefore fit only matches without out_id and the like.
//
// A rule is in force when Once, Times or Always has said how often. A test of a
// fault must read Rule.Count in the end: a fault that did not happen proves
// nothing.
//
// # How it differs from the real gateway
//
//   - One API. No other method, no file uploads, no GET of large queries.
//   - The order of checks is ours. No client may depend on it.
//   - What SPEC leaves open is a switch: Config.Replay, Conflict, Retention, Form.
//   - The scope of an out_id is the app key; the real one could be the merchant
//     or the biz_code.
//   - A parameter that stands twice, or in query and body, is refused with 41.
//   - An open_id is any text; that it belongs to the app key is not checked.
//   - Nothing is forgotten (without Retention), no quota is a sliding one, bans
//     do not grow, and refused calls count towards quotas.
//   - Money and times are plausible numbers; their real units are not documented.
//   - Calls are served at once: Config.Latency passes between the grant and its
//     answer, and faults take the times they name.
//   - "refuse" and "bad-certificate" over sockets are a reset of a connection
//     that was accepted; by Transport they are the real errors. "close-idle" does
//     nothing by Transport, which has no connections.
//   - gzip is only used when asked for, and counts for no quota of bandwidth.
//
// # Control API
//
// Control serves these on the same address as the gateway or on another; bodies
// and answers are JSON if not said otherwise. A mistake is status 400 (404 for an
// unknown rule) with {"error": "..."}.
//
//	GET    /control/ledger?after=C&limit=N  LedgerPage: entries in order of first calls; follow next until it is absent (N: 1000, at most 10000)
//	GET    /control/stats                   Stats
//	GET    /control/faults                  array of Fault: name, group, after_grant, text
//	GET    /control/rules                   array: id, fault, count, and the limits below; lines of the script have script, from, to
//	POST   /control/rules                   {"fault": "gzip-bomb", "times": 3, "probability": 0.1, "out_id": "order-*", "uuid": "u", "member": "hash"} -> {"id": 1}; all but fault optional, without times always
//	DELETE /control/rules/{id}              ends a rule
//	POST   /control/script                  a Script as text; starts now, in the place of the one before; empty ends it
//	POST   /control/clock                   {"offset": "11m"}: the gateway's clock against the real one
//
// # What is never shown
//
// No secret, session or open_id stands in the data file, in an answer of the
// control API, or in the printed form of a type of this package. Members are
// salted hashes. The one exception is on the gateway's side and true to life:
// the fault "error-xml-args" repeats every parameter, so that tests can show that
// a client does not pass it on.
package topsim

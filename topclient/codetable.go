package topclient

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// CodeRow is one row of the code table, as people read it.
type CodeRow struct {
	Code           string // of the error envelope, or the business code in any of its forms
	SubCode        string // a family of sub-codes; a star is any text; empty: any
	About          About
	MayHaveGranted bool
	Throttled      bool
	RefusesID      bool
	Meaning        string
}

// CodeTable is the whole table that answers are judged by, in order. What is in
// no row is about nobody known and may have granted.
func CodeTable() []CodeRow {
	var rows []CodeRow
	add := func(code, subCode string, v verdict, meaning string) {
		rows = append(rows, CodeRow{code, subCode, v.about, v.mayHaveGranted, v.throttled, v.refusesID, meaning})
	}
	for _, n := range slices.Sorted(maps.Keys(platformCodes)) {
		row, code := platformCodes[n], strconv.Itoa(n)
		switch row.by {
		case byArgument:
			if n == 41 {
				add(code, "", ofID, row.meaning+": the out_id, and no other")
			}
			add(code, "", ofRequest, row.meaning+": of the request")
			add(code, "", ofApp, row.meaning+": of the system parameters")
		case bySubCode, byCode:
			add(code, "", row.verdict, row.meaning)
		}
	}
	for _, row := range subCodes {
		add("15, 50, 100 and above", row.pattern, row.verdict, row.meaning)
	}
	for _, code := range slices.Sorted(maps.Keys(businessCodes)) {
		v, _ := judgeBusiness(code)
		add(code, "", v, businessCodes[code].meaning)
	}
	return rows
}

// OwnCodeTable is what Send says where the gateway gave no code: asked of the
// code that says it, so that it cannot differ.
func OwnCodeTable() []CodeRow {
	failed := func(err error, sent bool) *Error { return noAnswer(nil, err, sent) }
	answered := func(a answer) *Error {
		_, e := reply{status: http.StatusOK, answer: a}.outcome(scrubber{})
		return e
	}
	var rows []CodeRow
	add := func(e *Error, meaning string) {
		rows = append(rows, CodeRow{e.Code, "", e.About, e.MayHaveGranted, e.Throttled, false, meaning})
	}
	add(refuse("an example"), "the request's content cannot be sent: too long, or no valid text")
	add(noCredentials(), "app key, app secret or session is empty")
	add(noAnswer(context.Canceled, context.Canceled, true), "the call was given up by us, as when this process stops")
	add(failed(&net.DNSError{}, false), "the gateway's name is not resolved")
	add(failed(syscall.ECONNREFUSED, false), "nobody listens there")
	add(failed(tls.AlertError(0), false), "no TLS handshake: certificate, version, or not TLS")
	add(failed(os.ErrDeadlineExceeded, false), "no connection in time")
	add(failed(errors.New("an example"), false), "no connection for any other cause")
	add(failed(syscall.ECONNRESET, true), "the connection broke after the request had left")
	add(failed(context.DeadlineExceeded, true), "no complete answer in time")
	add(reply{status: http.StatusOK, bad: "an example"}.noEnvelope(), "an answer that is none of the gateway: a page, empty, cut short")
	add(reply{status: http.StatusServiceUnavailable, bad: "an example"}.noEnvelope(), "the same with an HTTP status that is not 200")
	add(answered(answer{refusal: true}), "an error without a code")
	add(answered(answer{}), "a success without a coupon")
	add(answered(answer{ambiguous: true}), "two answers in one")
	return rows
}

// Answer is an error that the row is about, as Send would return it.
func (r CodeRow) Answer() *Error {
	code, _, _ := strings.Cut(r.Code, ",")
	e := &Error{
		About: r.About, MayHaveGranted: r.MayHaveGranted, Throttled: r.Throttled,
		Canceled: r.Code == CodeCanceled, Code: code, SubCode: r.SubCode, RefusesID: r.RefusesID,
	}
	if _, ok := businessCodes[r.Code]; ok {
		e.Business = r.Code
	}
	return e
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/coupongrant/coupongrant/schemas"
)

// maxLine bounds one line of input; a request may be 8 KiB.
const maxLine = 1 << 20

var errLongLine = fmt.Errorf("the line is longer than %d bytes", maxLine)

// readLine reads up to the next line end, which it takes away. Of a line that is
// too long it drops the rest, so that the next call finds the next line.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		piece, err := r.ReadSlice('\n')
		if long = long || len(line)+len(piece) > maxLine; !long {
			line = append(line, piece...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case long && (err == nil || errors.Is(err, io.EOF)):
			return nil, errLongLine
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil // the last line has no end
		case err != nil:
			return nil, err
		default:
			return bytes.TrimRight(line, "\r\n"), nil
		}
	}
}

// numberedLine is a line of input, or why it could not be read.
type numberedLine struct {
	number int // from 1
	text   []byte
	err    error
}

// readLines reads ahead in a goroutine of its own, which ends with the input or
// with ctx. A read that waits for a person at a terminal cannot be ended: that
// goroutine ends with the process.
func readLines(ctx context.Context, in io.Reader) <-chan numberedLine {
	lines := make(chan numberedLine)
	go func() {
		defer close(lines)
		reader := bufio.NewReaderSize(in, 64<<10)
		for number := 1; ; number++ {
			text, err := readLine(reader)
			if errors.Is(err, io.EOF) {
				return
			}
			select {
			case lines <- numberedLine{number, text, err}:
			case <-ctx.Done():
				return
			}
			if err != nil && !errors.Is(err, errLongLine) {
				return
			}
		}
	}()
	return lines
}

// requestLine is a request as one line of JSON: the members of
// CouponGrantRequested, and the record's key.
type requestLine struct {
	RequestID  string       `json:"request_id"`
	OccurredAt *moment      `json:"occurred_at"` // absent: now
	ExpiresAt  *moment      `json:"expires_at"`
	BizCode    string       `json:"biz_code"`
	OpenID     openIDText   `json:"open_id"`
	Channel    string       `json:"channel"`
	CouponCode string       `json:"coupon_code"`
	CouponType int32        `json:"coupon_type"`
	Extra      *string      `json:"extra"`
	Trigger    *triggerLine `json:"trigger"`
	Key        *string      `json:"key"` // absent: no key
}

type triggerLine struct {
	Kind      string  `json:"kind"`
	StoreID   *string `json:"store_id"`
	ReceiptID *string `json:"receipt_id"`
	ProgramID *string `json:"program_id"`
	Milestone *string `json:"milestone"`
}

// openIDText lets JSON be read into an OpenID, which itself only hides.
type openIDText struct{ schemas.OpenID }

func (o *openIDText) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return errors.New("open_id is not a string")
	}
	o.OpenID = schemas.NewOpenID(text)
	return nil
}

// moment is a time as RFC 3339 or as milliseconds since 1970.
type moment struct{ time.Time }

func (m *moment) UnmarshalJSON(b []byte) error {
	if ms, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		m.Time = time.UnixMilli(ms).UTC()
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return noMoment()
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return noMoment()
	}
	m.Time = at.UTC().Truncate(time.Millisecond)
	return nil
}

// noMoment is of the type to which the decoder adds the member's name.
func noMoment() error { return &json.UnmarshalTypeError{Type: reflect.TypeFor[moment]()} }

// parseRequest reads one line. Its errors name members and never show values.
func parseRequest(line []byte, now time.Time, rules schemas.Rules) (key []byte, r schemas.Request, err error) {
	if !utf8.Valid(line) { // the decoder would make one id of two
		return nil, r, errors.New("the line is not UTF-8: convert the file, as with iconv")
	}
	var in requestLine
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return nil, r, jsonTrouble(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, r, errors.New("the line has more than one JSON value")
	}
	if in.RequestID == "" {
		return nil, r, errors.New("request_id is missing")
	}
	r = in.request(now)
	if in.Key != nil {
		key = []byte(*in.Key)
	}
	return key, r, rules.Check(r)
}

func (in requestLine) request(now time.Time) schemas.Request {
	r := schemas.Request{
		RequestID: in.RequestID, OccurredAt: now.UTC().Truncate(time.Millisecond), BizCode: in.BizCode, OpenID: in.OpenID.OpenID,
		Channel: in.Channel, CouponCode: in.CouponCode, CouponType: in.CouponType, Extra: in.Extra,
	}
	if in.OccurredAt != nil {
		r.OccurredAt = in.OccurredAt.Time
	}
	if in.ExpiresAt != nil {
		r.ExpiresAt = in.ExpiresAt.Time
		if r.ExpiresAt.IsZero() { // a time that is given, and not "never": as the reader of records has it
			r.ExpiresAt = r.ExpiresAt.Add(-1)
		}
	}
	if t := in.Trigger; t != nil {
		r.Trigger = &schemas.Trigger{
			Kind: t.Kind, StoreID: t.StoreID, ReceiptID: t.ReceiptID, ProgramID: t.ProgramID, Milestone: t.Milestone,
		}
	}
	return r
}

// jsonTrouble says what is wrong without the decoder's words where these hold a
// piece of the line.
func jsonTrouble(err error) error {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field == "":
		return errors.New("the line is not a JSON object")
	case errors.As(err, &wrongType) && wrongType.Type == reflect.TypeFor[moment]():
		return fmt.Errorf("%s is neither RFC 3339, such as 2026-01-31T12:00:00Z, nor milliseconds since 1970", wrongType.Field)
	case errors.As(err, &wrongType) && wrongType.Type.Kind() == reflect.Struct:
		return fmt.Errorf("%s is a %s, an object is asked for", wrongType.Field, jsonKind(wrongType.Value))
	case errors.As(err, &wrongType):
		return fmt.Errorf("%s is a %s, %s is asked for", wrongType.Field, jsonKind(wrongType.Value), wrongType.Type)
	case errors.As(err, &syntax):
		return fmt.Errorf("the line is not JSON, from byte %d on", syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("the line ends in the middle of its JSON")
	default:
		return err // ours, or an unknown member with its name
	}
}

// jsonKind takes the value away from "number 12.5".
func jsonKind(value string) string {
	if len(value) > 6 && value[:6] == "number" {
		return "number"
	}
	return value
}

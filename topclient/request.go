package topclient

import (
	"fmt"
	"log/slog"
	"strconv"
	"unicode/utf8"
)

// Method is the API that is called: the value of the parameter "method".
const Method = "tmall.nrt.coupon.send"

// Names and limits of the call.
const (
	dtoParameter   = "nrt_coupon_send_dto" // name of the parameter that holds the Grant as JSON
	timeLayout     = "2006-01-02 15:04:05" // of the parameter "timestamp", in GMT+8 whatever the host's zone
	maxDTOBytes    = 64 << 10              // a longer DTO is refused before it is sent: 8 KiB of arguments, each byte of which may take six in JSON, are well below
	maxAnswerBytes = 64 << 10              // a longer answer, unpacked, is not read to its end
	responseRoot   = "tmall_nrt_coupon_send_response"
)

// Grant is the business content of one call: the DTO of tmall.nrt.coupon.send.
// When printed it hides OpenID and Extra, but not in an unexported field, where fmt
// asks no method: keep no Grant in one.
type Grant struct {
	BizCode    string
	OpenID     string // personal: the member, as this app key knows them
	Extra      string // opaque; empty: not sent
	Channel    string
	OutID      string // the idempotency id: the same in every attempt for one grant
	UUID       string // the coupon's code
	CouponType int32  // 247 category, 276 store, 357 all stores
}

// grantForPrint has the members of a Grant that may be shown.
type grantForPrint struct {
	BizCode, OpenID, Extra, Channel, OutID, UUID string
	CouponType                                   int32
}

func (g Grant) forPrint() grantForPrint {
	p := grantForPrint{
		BizCode: g.BizCode, OpenID: redacted, Channel: g.Channel,
		OutID: g.OutID, UUID: g.UUID, CouponType: g.CouponType,
	}
	if g.Extra != "" {
		p.Extra = redacted
	}
	return p
}

// Format hides what is personal from every verb.
func (g Grant) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%+v", g.forPrint()) }

// MarshalText hides what is personal from encoders. What is sent is the dto.
func (g Grant) MarshalText() ([]byte, error) { return fmt.Append(nil, g), nil }

// LogValue hides what is personal from slog.
func (g Grant) LogValue() slog.Value { return slog.AnyValue(g.forPrint()) }

// appendDTO serialises g: once, as these very bytes are signed and sent. Members
// stand in alphabetical order, as the official SDK writes them; only an empty
// extra is left out. It refuses what must not be sent.
func appendDTO(to []byte, g Grant) ([]byte, *Error) {
	if isBlank(g.OutID) {
		return to, refuse("out_id is empty: without it a repeat could grant twice")
	}
	for _, text := range [...]string{g.BizCode, g.Channel, g.Extra, g.OpenID, g.OutID, g.UUID} {
		if !utf8.ValidString(text) { // JSON would silently name somebody else
			return to, refuse("a member of the request is not UTF-8")
		}
	}
	start := len(to)
	to = appendQuoted(append(to, `{"biz_code":`...), g.BizCode)
	to = appendQuoted(append(to, `,"channel":`...), g.Channel)
	to = strconv.AppendInt(append(to, `,"coupon_type":`...), int64(g.CouponType), 10)
	if g.Extra != "" {
		to = appendQuoted(append(to, `,"extra":`...), g.Extra)
	}
	to = appendQuoted(append(to, `,"open_id":`...), g.OpenID)
	to = appendQuoted(append(to, `,"out_id":`...), g.OutID)
	to = appendQuoted(append(to, `,"uuid":`...), g.UUID)
	to = append(to, '}')
	if n := len(to) - start; n > maxDTOBytes {
		return to, refuse(fmt.Sprintf("the request takes %d bytes, more than %d", n, maxDTOBytes))
	}
	return to, nil
}

// appendQuoted writes what encoding/json gives for UTF-8 without its escaping of
// HTML, without an encoder for each call.
func appendQuoted(to []byte, text string) []byte {
	to = append(to, '"')
	written := 0
	for i, r := range text {
		if r >= ' ' && r != '"' && r != '\\' && r != '\u2028' && r != '\u2029' {
			continue
		}
		to = append(to, text[written:i]...)
		to = appendEscape(to, r)
		written = i + utf8.RuneLen(r)
	}
	return append(append(to, text[written:]...), '"')
}

func appendEscape(to []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(to, '\\', byte(r))
	case '\b':
		return append(to, `\b`...)
	case '\f':
		return append(to, `\f`...)
	case '\n':
		return append(to, `\n`...)
	case '\r':
		return append(to, `\r`...)
	case '\t':
		return append(to, `\t`...)
	default:
		return fmt.Appendf(to, `\u%04x`, r)
	}
}

// refuse is the error of a request that was never sent.
func refuse(why string) *Error {
	return &Error{About: AboutRequest, Code: CodeNotSendable, Message: why}
}

package topclient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"
	"unicode/utf8"
)

// Names and limits of the call, for whoever speaks the other side of it.
const (
	Method         = "tmall.nrt.coupon.send" // value of the parameter "method"
	DTOParameter   = "nrt_coupon_send_dto"   // name of the parameter that holds the Grant as JSON
	TimeLayout     = "2006-01-02 15:04:05"   // of the parameter "timestamp", in GMT+8 whatever the host's zone
	MaxDTOBytes    = 8 << 10                 // a longer DTO is refused before it is sent
	MaxAnswerBytes = 64 << 10                // a longer answer, unpacked, is not read to its end
	responseRoot   = "tmall_nrt_coupon_send_response"
)

// Guesses of sizes, to make room once.
const (
	dtoNames = 128 // what the names take in a DTO, and a few escapes
	formSize = 320 // what everything takes in a form but the DTO and the session
)

// gatewayZone is fixed: the gateway reads timestamps in it, and the host may
// have no zone database.
var gatewayZone = time.FixedZone("GMT+8", 8*60*60)

// Grant is the business content of one call: the DTO of tmall.nrt.coupon.send.
// When printed it hides OpenID and Extra.
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

// dto is a Grant as it is sent: members in alphabetical order, as the official
// SDK writes them; only an empty extra is left out.
type dto struct {
	BizCode    string `json:"biz_code"`
	Channel    string `json:"channel"`
	CouponType int32  `json:"coupon_type"`
	Extra      string `json:"extra,omitempty"`
	OpenID     string `json:"open_id"`
	OutID      string `json:"out_id"`
	UUID       string `json:"uuid"`
}

// encodeDTO serialises g: once, as these very bytes are signed and sent. It
// refuses what must not be sent.
func encodeDTO(g Grant) (string, *Error) {
	if isBlank(g.OutID) {
		return "", refuse("out_id is empty: without it a repeat could grant twice")
	}
	for _, text := range []string{g.BizCode, g.Channel, g.Extra, g.OpenID, g.OutID, g.UUID} {
		if !utf8.ValidString(text) { // JSON would silently name somebody else
			return "", refuse("a member of the request is not UTF-8")
		}
	}
	var b bytes.Buffer
	b.Grow(len(g.BizCode) + len(g.Channel) + len(g.Extra) + len(g.OpenID) + len(g.OutID) + len(g.UUID) + dtoNames)
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(dto{g.BizCode, g.Channel, g.CouponType, g.Extra, g.OpenID, g.OutID, g.UUID}); err != nil {
		return "", refuse("the request cannot be written as JSON")
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(text) > MaxDTOBytes {
		return "", refuse(fmt.Sprintf("the request takes %d bytes, more than %d", len(text), MaxDTOBytes))
	}
	return string(text), nil
}

// refuse is the error of a request that was never sent.
func refuse(why string) *Error {
	return &Error{About: AboutRequest, Code: CodeNotSendable, Message: why}
}

// signedForm is what one attempt sends.
type signedForm struct {
	body []byte
	sign string
}

// newForm signs the whole of an attempt at a time. It is made anew for each
// attempt, as the gateway takes a timestamp for ten minutes only. All of it goes
// into the body: access logs along the way keep URLs.
func newForm(signMethod string, cred Credentials, dto string, at time.Time) signedForm {
	params := signable(append(make([]param, 0, 9), // the ninth is the signature
		param{"app_key", cred.AppKey},
		param{"format", "json"},
		param{"method", Method},
		param{DTOParameter, dto},
		param{"session", cred.Session.Reveal()},
		param{"sign_method", signMethod},
		param{"timestamp", at.In(gatewayZone).Format(TimeLayout)},
		param{"v", "2.0"},
	))
	// The form takes the room of the text, which is done with when it is signed.
	room := make([]byte, 0, formSize+2*(len(dto)+len(cred.Session.Reveal())))
	signature := sign(signMethod, cred.AppSecret, appendCanonical(room, params))
	return signedForm{body: appendForm(room, append(params, param{"sign", signature})), sign: signature}
}

// appendForm writes params as application/x-www-form-urlencoded.
func appendForm(form []byte, params []param) []byte {
	for i, p := range params {
		if i > 0 {
			form = append(form, '&')
		}
		form = appendEscaped(form, p.name)
		form = append(form, '=')
		form = appendEscaped(form, p.value)
	}
	return form
}

// appendEscaped writes what url.QueryEscape gives, without a text of its own for
// each parameter.
func appendEscaped(form []byte, text string) []byte {
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~':
			form = append(form, c)
		case c == ' ':
			form = append(form, '+')
		default:
			form = append(form, '%', upperHex[c>>4], upperHex[c&0xf])
		}
	}
	return form
}

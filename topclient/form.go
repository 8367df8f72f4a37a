package topclient

import (
	"sync"
	"time"
)

// Zone is that of Beijing, in which the gateway reads timestamps and counts its
// days. It is fixed: the host may have no zone database.
var Zone = time.FixedZone("GMT+8", 8*60*60)

const upperHex = "0123456789ABCDEF"

// signedForm is what one attempt sends.
type signedForm struct {
	body []byte
	sign string
}

// formWriter makes signed forms. It keeps the room that one takes for the next.
// Safe for concurrent use.
type formWriter struct {
	signMethod string
	desks      sync.Pool // of *desk
}

// desk is what writing one form takes. The form itself is none of it: a
// transport may read that for longer than the call lasts.
type desk struct {
	dto    []byte
	text   []byte // to be signed
	signer signer
}

// newForm writes and signs the whole of an attempt at a time. It is made anew
// for each attempt, as the gateway takes a timestamp for ten minutes only. All of
// it goes into the body: access logs along the way keep URLs.
func (w *formWriter) newForm(cred Credentials, g Grant, at time.Time) (signedForm, *Error) {
	d, ok := w.desks.Get().(*desk)
	if !ok {
		d = &desk{signer: signer{method: w.signMethod}}
	}
	var refused *Error
	if d.dto, refused = appendDTO(d.dto[:0], g); refused != nil {
		return signedForm{}, refused // and nobody keeps a desk that a refused request made large
	}
	defer w.desks.Put(d)
	return d.newForm(cred, at), nil
}

// newForm writes the parameters in the order of signing, which is that of their
// names.
func (d *desk) newForm(cred Credentials, at time.Time) signedForm {
	const formSize = 320 // what everything takes but the DTO and the session
	p := params{
		text: d.text[:0],
		form: make([]byte, 0, formSize+2*(len(d.dto)+len(cred.Session.Reveal()))),
	}
	p.add("app_key", cred.AppKey)
	p.add("format", "json")
	p.add("method", Method)
	addParam(&p, dtoParameter, d.dto)
	p.add("session", cred.Session.Reveal())
	p.add("sign_method", d.signer.method)
	var room [len(timeLayout)]byte
	addParam(&p, "timestamp", at.In(Zone).AppendFormat(room[:0], timeLayout))
	p.add("v", "2.0")
	d.text = p.text
	signature := d.signer.sign(cred.AppSecret, p.text)
	return signedForm{body: append(append(p.form, "&sign="...), signature...), sign: signature}
}

// params are written twice at once: as the text to sign, which is names and
// values without separators, and as application/x-www-form-urlencoded.
type params struct{ text, form []byte }

// add leaves out what the gateway leaves out of the text it signs.
func (p *params) add(name, value string) {
	if !isBlank(name) && !isBlank(value) {
		addParam(p, name, value)
	}
}

func addParam[T string | []byte](p *params, name string, value T) {
	p.text = append(append(p.text, name...), value...)
	if len(p.form) > 0 {
		p.form = append(p.form, '&')
	}
	p.form = appendEscaped(p.form, name)
	p.form = append(p.form, '=')
	p.form = appendEscaped(p.form, value)
}

// appendEscaped writes what url.QueryEscape gives, without a text of its own for
// each parameter.
func appendEscaped[T string | []byte](form []byte, text T) []byte {
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

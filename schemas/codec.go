package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// MaxValueBytes bounds a record value: above it a request is a dead letter
// TooLarge without a look inside.
const MaxValueBytes = 256 << 10

const (
	magic      = 0 // first byte of the wire format
	headerSize = 5 // with the schema id
)

// Codec turns record values into Requests and Outcomes into record values, in
// the Schema Registry wire format. It never does I/O: what it needs of the
// registry is fetched by Registry.Fetch and Registry.FetchOwn beforehand.
// Safe for concurrent use.
type Codec struct {
	reg   *Registry
	rules Rules
}

// NewCodec returns a codec over the schemas that reg has fetched. Requests that
// break rules are decoded and refused.
func NewCodec(reg *Registry, rules Rules) *Codec { return &Codec{reg: reg, rules: rules} }

// DecodeError says why a record can never become a Request. Its text is one
// line and holds nothing of the payload.
type DecodeError struct {
	Reason DeadLetterReason
	Err    error
}

func (e *DecodeError) Error() string { return fmt.Sprintf("%s: %v", e.Reason, e.Err) }
func (e *DecodeError) Unwrap() error { return e.Err }

// NotFetchedError says that a schema is not known yet: Fetch the ID, then
// decode again. ID 0 is the program's own schemas, for FetchOwn.
type NotFetchedError struct{ ID int }

func (e *NotFetchedError) Error() string {
	if e.ID == 0 {
		return "the own schemas are not fetched yet"
	}
	return fmt.Sprintf("schema %d is not fetched yet", e.ID)
}

// Decode reads a CouponGrantRequested. Its errors are *DecodeError and
// *NotFetchedError, nothing else; the Request owns its memory. With the reason
// InvalidRequest the Request comes back as well, so that it can be named.
func (c *Codec) Decode(value []byte) (q Request, err error) {
	defer recovered(&err)
	v, w, err := c.read(value, requestedName)
	if err != nil {
		return Request{}, err
	}
	q, err = projectRequest(w.root, v)
	if err != nil {
		return Request{}, &DecodeError{Reason: Undecodable, Err: err}
	}
	return q, c.rules.Check(q)
}

// DecodeOutcome reads either outcome, for tail, audit and report. Its errors
// are those of Decode.
func (c *Codec) DecodeOutcome(value []byte) (o Outcome, err error) {
	defer recovered(&err)
	v, w, err := c.read(value, grantedName, failedName)
	if err != nil {
		return nil, err
	}
	if w.event == grantedName {
		o, err = projectGranted(w.root, v)
	} else {
		o, err = projectFailed(w.root, v)
	}
	if err != nil {
		return nil, &DecodeError{Reason: Undecodable, Err: err}
	}
	return o, nil
}

// read decodes a value of one of these events as its writer's schema says.
func (c *Codec) read(value []byte, events ...string) (any, *writer, error) {
	id, err := schemaID(value)
	if err != nil {
		return nil, nil, err
	}
	w, err := c.reg.known.writer(id)
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains(events, w.event) {
		return nil, nil, refuse(UnknownSchema, "the schema is of another kind of event")
	}
	body := value[headerSize:]
	if err := scan(w.root, body); err != nil {
		return nil, nil, &DecodeError{Reason: Undecodable, Err: err}
	}
	v, rest, err := w.codec.NativeFromBinary(body)
	if err != nil || len(rest) > 0 {
		return nil, nil, refuse(Undecodable, "the bytes are not what the writer's schema says")
	}
	return v, w, nil
}

// schemaID takes the wire format's header apart.
func schemaID(value []byte) (int, error) {
	switch {
	case len(value) == 0:
		return 0, refuse(Undecodable, "the value is empty")
	case value[0] != magic:
		return 0, refuse(Undecodable, "the value is not in the Schema Registry wire format")
	case len(value) > MaxValueBytes:
		err := fmt.Errorf("the value takes %d bytes, %d are allowed", len(value), MaxValueBytes)
		return 0, &DecodeError{Reason: TooLarge, Err: err}
	case len(value) < headerSize:
		return 0, refuse(Undecodable, "the value is too short for a schema id")
	}
	id := binary.BigEndian.Uint32(value[1:headerSize])
	if id == 0 || id > math.MaxInt32 {
		// A registry answers such a number by a plain 404, if at all.
		return 0, refuse(UnknownSchema, "no registry gives out such a schema id")
	}
	return int(id), nil
}

func refuse(reason DeadLetterReason, text string) error {
	return &DecodeError{Reason: reason, Err: errors.New(text)}
}

// recovered makes an error of a panic: what is read comes from outside, and no
// record may stop the program. The panic's own text may quote the payload.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = &DecodeError{Reason: Undecodable, Err: fmt.Errorf("reading panicked with %T", p)}
	}
}

// EncodeRequest writes a CouponGrantRequested for an input topic, for producers
// and the sample traffic. It does not apply the rules: see Rules.Check. It fails
// with *NotFetchedError before FetchOwn has succeeded for the topic.
func (c *Codec) EncodeRequest(topic string, r Request) ([]byte, error) {
	if err := checkRequest(r); err != nil {
		return nil, err
	}
	return c.encode(ownKey{event: requestedName, topic: topic}, func(p *pen) { p.request(r) })
}

// EncodeOutcome writes a CouponGranted or CouponGrantFailed. It fails with
// *NotFetchedError only before FetchOwn has succeeded.
func (c *Codec) EncodeOutcome(o Outcome) ([]byte, error) {
	switch o := o.(type) {
	case *Granted:
		return c.encode(ownKey{event: grantedName}, func(p *pen) { p.granted(o) })
	case *Failed:
		reason, err := reasonPlace(o.Reason)
		if err != nil {
			return nil, err
		}
		return c.encode(ownKey{event: failedName}, func(p *pen) { p.failed(o, reason) })
	}
	return nil, errors.New("there is no outcome to encode")
}

func (c *Codec) encode(key ownKey, write func(*pen)) ([]byte, error) {
	id, ok := c.reg.known.ownID(key)
	if !ok {
		return nil, &NotFetchedError{}
	}
	return encoded(id, write), nil
}

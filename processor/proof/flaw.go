package proof

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/coupongrant/coupongrant/schemas"
)

// Flaw is what keeps an event from being a request.
type Flaw uint8

// The flaws.
const (
	Flawless      Flaw = iota
	NullValue          // no value at all
	EmptyValue         // a value of no bytes
	WrongMagic         // not the registry's wire format
	Truncated          // the last byte is missing
	TrailingBytes      // one byte too many
	UnknownID          // a schema id that no registry gave out
	UnknownType        // a coupon type that nobody configured
	NoID               // an empty request_id
	LongID             // a request_id of 65 characters

	flaws = LongID
)

// Value is the record value, flaw and all.
func (e Event) Value(codec *schemas.Codec) ([]byte, error) {
	r := e.Request
	switch e.Flaw {
	case UnknownType:
		r.CouponType = 999
	case NoID:
		r.RequestID = ""
	case LongID:
		r.RequestID = strings.Repeat("x", 65)
	default:
	}
	value, err := codec.EncodeRequest(e.Topic, r)
	if err != nil {
		return nil, err
	}
	return e.Flaw.damage(value), nil
}

// damage spoils a value in the wire format: byte 0, four bytes of schema id, Avro.
func (f Flaw) damage(value []byte) []byte {
	switch f {
	case NullValue:
		return nil
	case EmptyValue:
		return []byte{}
	case WrongMagic:
		value[0] = 1
	case Truncated:
		return slices.Clip(value[:len(value)-1])
	case TrailingBytes:
		return append(value, 0)
	case UnknownID:
		binary.BigEndian.PutUint32(value[1:], math.MaxInt32)
	default:
	}
	return value
}

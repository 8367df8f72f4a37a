package proof

import "github.com/coupongrant/coupongrant/schemas"

// Reason of the dead letter that an event of this flaw must end in; empty for
// Flawless.
func (f Flaw) Reason() schemas.DeadLetterReason {
	switch f {
	case Flawless:
		return ""
	case UnknownID:
		return schemas.UnknownSchema
	case UnknownType, NoID, LongID:
		return schemas.InvalidRequest
	default:
		return schemas.Undecodable
	}
}

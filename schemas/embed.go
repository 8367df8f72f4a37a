package schemas

import _ "embed"

// The current contracts. Their earlier versions in history/ are read by tests
// only: what is in a topic is decoded with the writer's schema of the registry.
var (
	//go:embed CouponGrantRequested.avsc
	requestedSchema string
	//go:embed CouponGranted.avsc
	grantedSchema string
	//go:embed CouponGrantFailed.avsc
	failedSchema string
)

const (
	namespace     = "coupongrant.v1."
	requestedName = namespace + "CouponGrantRequested"
	grantedName   = namespace + "CouponGranted"
	failedName    = namespace + "CouponGrantFailed"
)

//go:build (chaos || apart) && !integration

package proof_test

import "time"

// patience bounds one exchange with a broker or registry that is up already.
const patience = 60 * time.Second

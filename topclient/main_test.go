package topclient

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if serveBenchmarks() || measureCalls() {
		return
	}
	goleak.VerifyTestMain(m)
}

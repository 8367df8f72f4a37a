//go:build integration || chaos || apart

package proof_test

import (
	"context"
	"fmt"
	"time"
)

// every does something again and again until ctx ends, which is no error.
func every(ctx context.Context, interval time.Duration, do func()) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			do()
		}
	}
}

// within waits for a condition.
func within(limit time.Duration, otherwise string, condition func() bool) error {
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for deadline := time.Now().Add(limit); ; <-again.C {
		if condition() {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s within %v", otherwise, limit)
		}
	}
}

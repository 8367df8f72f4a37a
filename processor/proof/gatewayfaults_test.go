//go:build chaos || apart

package proof_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Of some calls, of all, and of those for one coupon.
func (c *chaos) lostAnswers(s step) error {
	return c.misbehave(s, map[string]any{"fault": "lost-answers", "probability": 0.3})
}

func (c *chaos) stalledAnswers(s step) error {
	return c.misbehave(s, map[string]any{"fault": "stall-after-grant", "probability": 0.05})
}

func (c *chaos) throttling(s step) error {
	return c.misbehave(s, map[string]any{"fault": "throttle 20/s"})
}

func (c *chaos) gatewayOutage(s step) error {
	return c.misbehave(s, map[string]any{"fault": "outage"})
}

func (c *chaos) gatewayHangs(s step) error {
	return c.misbehave(s, map[string]any{"fault": "stall"})
}

func (c *chaos) ban(s step) error { return c.misbehave(s, map[string]any{"fault": "ban 2s"}) }

// refusals are of everybody, as if all that we send were wrong: of records too that repeat
// what was granted. Nothing is promised of strays, so there are none meanwhile.
func (c *chaos) refusals(s step) error {
	c.feed.sendNoStrays(true)
	defer c.feed.sendNoStrays(false)
	err := within(2*time.Minute, "records that repeat others of other partitions could still fail", func() bool { return c.feed.noStray(c.witness.cannotFail) })
	if err != nil {
		return err
	}
	return c.misbehave(s, map[string]any{"fault": "isv.invalid-parameter"})
}

// silentCoupon is one for which calls are not answered, poisonedCoupon one for
// which all fail, each for so long that requests for it are parked.
func (c *chaos) silentCoupon(s step) error {
	return c.misbehaveFor(parkAfter+between(s.rand(), time.Second, 4*time.Second), map[string]any{"fault": "stall", "uuid": "c276-03"})
}

func (c *chaos) poisonedCoupon(s step) error {
	return c.misbehaveFor(parkAfter+between(s.rand(), time.Second, 4*time.Second), map[string]any{"fault": "business -9999", "uuid": "c247-03"})
}

// gatewayFlaps: it goes three times, and comes back.
func (c *chaos) gatewayFlaps(s step) error {
	r := s.rand()
	for range 3 {
		if err := c.misbehaveFor(between(r, 500*time.Millisecond, 1500*time.Millisecond), map[string]any{"fault": "outage"}); err != nil {
			return err
		}
		time.Sleep(between(r, 500*time.Millisecond, 1500*time.Millisecond))
	}
	return nil
}

// misbehave has the gateway do wrong for a while, to the calls that the rule
// names.
func (c *chaos) misbehave(s step, rule map[string]any) error {
	return c.misbehaveFor(between(s.rand(), 2*time.Second, 5*time.Second), rule)
}

// misbehaveFor does it for so long, and longer if it has met nobody yet.
func (c *chaos) misbehaveFor(lasts time.Duration, rule map[string]any) error {
	imposed, err := c.gateway.impose(rule)
	if err != nil {
		return err
	}
	time.Sleep(lasts)
	met := within(momentWithin, fmt.Sprintf("%s struck no call", rule["fault"]), func() bool {
		struck, err := imposed.struck()
		return err == nil && struck > 0
	})
	return errors.Join(met, imposed.end())
}

func (c *chaos) gatewayKill(s step) error {
	if err := c.gateway.kill(); err != nil {
		return err
	}
	time.Sleep(between(s.rand(), 500*time.Millisecond, 2*time.Second))
	return c.gateway.start()
}

// clockStep moves the gateway's clock away from ours and back: our signatures
// are refused as of another time.
func (c *chaos) clockStep(s step) error {
	offset := 11 * time.Minute
	if s.lot%2 == 0 {
		offset = -offset
	}
	before := c.gateway.counts(c.t).Rejected["31"]
	if err := c.gateway.clock(offset); err != nil {
		return err
	}
	time.Sleep(between(s.rand(), time.Second, 2*time.Second))
	if err := c.gateway.clock(0); err != nil {
		return err
	}
	if c.gateway.counts(c.t).Rejected["31"] == before {
		return errors.New("no call was refused for its time")
	}
	return nil
}

// rotation: the gateway knows a new session alone, and the replicas are given
// it a little later, in their file.
func (c *chaos) rotation(s step) error {
	c.sessions++
	next := canarySession + "-" + strconv.Itoa(c.sessions)
	if err := c.gateway.kill(); err != nil {
		return err
	}
	c.gateway.setup.Session = next
	if err := c.gateway.start(); err != nil {
		return err
	}
	// This process of it has refused nobody yet.
	refused := within(momentWithin, "no call was refused for its session", func() bool { return c.gateway.counts(c.t).Rejected["27"] > 0 })
	time.Sleep(between(s.rand(), time.Second, 3*time.Second))
	return errors.Join(refused, c.giveSession(next))
}

// giveSession replaces the file that replicas read the session from: nobody may
// see half of it.
func (c *chaos) giveSession(session string) error {
	path := filepath.Join(c.dir, "session")
	if err := os.WriteFile(path+".new", []byte(session), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// flood is many times the rate all at once.
func (c *chaos) flood(s step) error {
	return c.feed.flood(c.t.Context(), int(between(s.rand(), 1000, 3000)))
}

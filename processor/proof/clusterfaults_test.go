//go:build chaos || apart

package proof_test

import (
	"slices"
	"time"
)

func (c *chaos) brokerKill(s step) error { return c.endBroker(s, c.cluster.kill) }
func (c *chaos) brokerStop(s step) error { return c.endBroker(s, c.cluster.stop) }

// endBroker leaves a broker down for a while; it is waited for until its
// replicas are in sync, or the next fault could make a partition unwritable.
func (c *chaos) endBroker(s step, end func(int) error) error {
	r := s.rand()
	broker := r.IntN(brokerCount)
	if err := end(broker); err != nil {
		return err
	}
	time.Sleep(between(r, time.Second, 4*time.Second))
	return c.cluster.start(broker)
}

func (c *chaos) coordinatorMove(s step) error {
	m, err := c.anyone(s.rand())
	if err != nil {
		return err
	}
	return c.cluster.moveCoordinators(c.t.Context(), c.system.group, c.system.group+"."+m.slot)
}

func (c *chaos) leaderMove(step) error {
	topics := c.system.topics
	return c.cluster.moveLeaders(c.t.Context(), topics.Inputs[0], topics.Granted, topics.Retry)
}

// networkCut resets the connections to a broker and refuses new ones.
func (c *chaos) networkCut(s step) error { return c.troubleOne(s, (*wire).cutOff) }

// networkHold lets nothing through to a broker, and then what was held, late.
func (c *chaos) networkHold(s step) error { return c.troubleOne(s, (*wire).holdUp) }

func (c *chaos) troubleOne(s step, trouble func(*wire)) error {
	r := s.rand()
	line, err := c.wires.talkedTo(r)
	if err != nil {
		return err
	}
	trouble(line)
	return untilMet(between(r, time.Second, 2*sessionTimeout), line)
}

// networkSlow delays every message of all brokers.
func (c *chaos) networkSlow(s step) error {
	r := s.rand()
	delay := between(r, 50*time.Millisecond, 250*time.Millisecond)
	for _, wire := range c.wires.lines {
		wire.slow(delay)
	}
	return untilMet(between(r, 2*time.Second, 5*time.Second), c.wires.lines...)
}

// untilMet lets a trouble last so long, and longer if it has met nobody yet, and
// ends it.
func untilMet(lasts time.Duration, lines ...*wire) error {
	time.Sleep(lasts)
	err := within(leaderMoveTime, "no connection and no message met it", func() bool {
		return slices.ContainsFunc(lines, (*wire).wasMet)
	})
	for _, wire := range lines {
		wire.heal()
	}
	return err
}

//go:build chaos || apart

package proof_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

const (
	momentWithin   = 30 * time.Second // that somebody comes to a moment
	takeOverWithin = 90 * time.Second // from a kill to the first outcome of its partitions
	readyWithin    = 60 * time.Second // of a process that was started
)

// injections are how each fault is done. An error says that it did not happen;
// what goes wrong because of it is found elsewhere.
func injections() map[fault]func(*chaos, step) error {
	all := map[fault]func(*chaos, step) error{
		killRestart: (*chaos).killAndRestart, killDown: (*chaos).killAndWait,
		pause: (*chaos).pause, takeOverID: (*chaos).takeOverID,
		terminate: (*chaos).terminate, rolling: (*chaos).rolling, scale: (*chaos).scale,
		brokerKill: (*chaos).brokerKill, brokerStop: (*chaos).brokerStop,
		coordinatorMove: (*chaos).coordinatorMove, leaderMove: (*chaos).leaderMove,
		networkCut: (*chaos).networkCut, networkHold: (*chaos).networkHold, networkSlow: (*chaos).networkSlow,
		registryOutage: (*chaos).registryOutage, gatewayOutage: (*chaos).gatewayOutage, gatewayKill: (*chaos).gatewayKill,
		lostAnswers: (*chaos).lostAnswers, stalledAnswers: (*chaos).stalledAnswers,
		throttling: (*chaos).throttling, clockStep: (*chaos).clockStep,
		gatewayHangs: (*chaos).gatewayHangs, gatewayFlaps: (*chaos).gatewayFlaps, ban: (*chaos).ban,
		refusals: (*chaos).refusals, silentCoupon: (*chaos).silentCoupon, poisonedCoupon: (*chaos).poisonedCoupon,
		rotation: (*chaos).rotation, flood: (*chaos).flood,
	}
	for _, at := range moments() {
		all[killAt(at)] = func(c *chaos, s step) error { return c.killAt(at, s) }
	}
	return all
}

// anyone picks a process that has partitions and may die, once there is one.
func (c *chaos) anyone(r *rand.Rand) (*member, error) {
	var some []*member
	err := within(momentWithin, "nobody holds a partition", func() bool {
		some = slices.DeleteFunc(c.crew.living(""), func(m *member) bool {
			return len(m.holds()) == 0 || m.meant() || c.spare(m)
		})
		return len(some) > 0
	})
	if err != nil {
		return nil, err
	}
	return some[r.IntN(len(some))], nil
}

func (c *chaos) killAndRestart(s step) error {
	m, err := c.anyone(s.rand())
	if err != nil {
		return err
	}
	m.kill(string(killRestart))
	return c.succeed(m, time.Now(), true)
}

func (c *chaos) killAndWait(s step) error {
	m, err := c.anyone(s.rand())
	if err != nil {
		return err
	}
	m.kill(string(killDown))
	return c.succeed(m, time.Now(), false)
}

// killAt kills the next process that comes to a moment.
func (c *chaos) killAt(at moment, s step) error {
	if at == inRecovery {
		return c.killInRecovery(s)
	}
	m, err := c.trap.next(at, "", momentWithin, func() error { return nil })
	if err != nil {
		return err
	}
	return c.succeed(m, time.Now(), s.lot%2 == 0)
}

// killInRecovery kills a process, and its successor as soon as it asks for its
// producer id. A connection that is so young that its owner cannot be told springs
// no trap: then it is another one's turn.
func (c *chaos) killInRecovery(s step) (err error) {
	r := s.rand()
	for range 3 {
		if err = c.killSuccessor(s, r); !errors.Is(err, errNoMoment) {
			return err
		}
	}
	return err
}

// killSuccessor: nobody else may have taken the partitions over in between.
func (c *chaos) killSuccessor(s step, r *rand.Rand) error {
	first, err := c.anyone(r)
	if err != nil {
		return err
	}
	first.kill("killed before its recovery")
	second, err := c.trap.next(inRecovery, first.slot, momentWithin, func() error {
		_, err := c.crew.start(first.slot)
		return err
	})
	if err != nil {
		return err
	}
	second.assign(first.holds())
	return c.succeed(second, time.Now(), s.lot%2 == 0)
}

// succeed brings a killed process back, at once or after others took over, and
// measures until the first outcome of its partitions.
func (c *chaos) succeed(m *member, killed time.Time, atOnce bool) error {
	inputs := m.inputs(c.system.topics.Retry)
	wait := c.witness.expect(inputs, killed)
	if atOnce {
		if _, err := c.crew.start(m.slot); err != nil {
			return err
		}
	}
	if len(inputs) > 0 {
		select {
		case <-wait.done:
			c.takeOvers = append(c.takeOvers, takenOver{Fault: m.endedBy(), AtOnce: atOnce, Seconds: wait.took.Seconds()})
		case <-time.After(takeOverWithin):
			c.found.add("stalled", "no outcome of the partitions of %s %v after its kill", m.name, takeOverWithin)
		}
	}
	if atOnce {
		return nil
	}
	_, err := c.crew.start(m.slot)
	return err
}

// pause stops a process for longer than its session, and lets it go on.
func (c *chaos) pause(s step) error {
	r := s.rand()
	m, err := c.anyone(r)
	if err != nil {
		return err
	}
	if err := m.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	time.Sleep(between(r, sessionTimeout*6/5, sessionTimeout*5/2))
	return m.signal(syscall.SIGCONT)
}

// takeOverID starts a second process under a transactional id in use: one of
// the two must give up.
func (c *chaos) takeOverID(s step) error {
	first, err := c.anyone(s.rand())
	if err != nil {
		return err
	}
	second, err := c.crew.start(first.slot)
	if err != nil {
		return err
	}
	if err := within(readyWithin, "neither of the two gives up", func() bool { return !first.running() || !second.running() }); err != nil {
		return err
	}
	loser := first
	if first.running() {
		loser = second
	}
	if code := loser.cmd.ProcessState.ExitCode(); code != 1 {
		c.found.add("exit", "%s, fenced by another of its transactional id, exits with %d", loser.name, code)
	}
	return nil
}

func (c *chaos) terminate(s step) error {
	m, err := c.anyone(s.rand())
	if err != nil {
		return err
	}
	return c.replace(m)
}

// replace stops a process in good order and starts another in its slot.
func (c *chaos) replace(m *member) error {
	if err := m.stop(); err != nil {
		c.found.add("exit", "%v", err)
	}
	next, err := c.crew.start(m.slot)
	if err != nil {
		return err
	}
	c.awaitReady(next)
	return nil
}

func (c *chaos) rolling(step) error {
	for _, m := range c.crew.living("") {
		if err := c.replace(m); err != nil {
			return err
		}
	}
	return nil
}

// scale goes to one replica, to six, to two and back. By lot, one is killed
// while the six find each other.
func (c *chaos) scale(s step) error {
	r := s.rand()
	settle := func() { time.Sleep(between(r, time.Second, 3*time.Second)) }
	if err := c.shrinkTo(1); err != nil {
		return err
	}
	settle()
	if err := c.growTo(6); err != nil {
		return err
	}
	if s.lot%2 == 0 {
		settle()
		m, err := c.anyone(r)
		if err != nil {
			return err
		}
		m.kill("killed at scale-out")
		if _, err := c.crew.start(m.slot); err != nil {
			return err
		}
	}
	settle()
	if err := c.shrinkTo(2); err != nil {
		return err
	}
	settle()
	return c.growTo(c.form.replicas)
}

func (c *chaos) shrinkTo(n int) error {
	for {
		all := c.crew.living("")
		if len(all) <= n {
			return nil
		}
		if err := all[len(all)-1].stop(); err != nil {
			return err
		}
	}
}

func (c *chaos) growTo(n int) error {
	for i := 0; len(c.crew.living("")) < n; i++ {
		if len(c.crew.living(slotName(i))) > 0 {
			continue
		}
		if _, err := c.crew.start(slotName(i)); err != nil {
			return err
		}
	}
	return nil
}

// registryOutage restarts a process while there is no registry: it waits, and
// begins when the registry is back.
func (c *chaos) registryOutage(s step) error {
	r := s.rand()
	m, err := c.anyone(r)
	if err != nil {
		return err
	}
	before := c.schemas.refused.Load()
	c.schemas.down.Store(true)
	defer c.schemas.down.Store(false)
	if err := m.stop(); err != nil {
		c.found.add("exit", "%v", err)
	}
	next, err := c.crew.start(m.slot)
	if err != nil {
		return err
	}
	if err := within(readyWithin, "nobody asks the registry", func() bool { return c.schemas.refused.Load() > before }); err != nil {
		return err
	}
	time.Sleep(between(r, time.Second, 3*time.Second))
	if next.ready() {
		return fmt.Errorf("%s is ready without a registry", next.name)
	}
	c.schemas.down.Store(false)
	c.awaitReady(next)
	return nil
}

package processor

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coupongrant/coupongrant/schemas"
)

// Topics are the names of the six topics.
type Topics struct {
	Store, Loyalty    string // input
	Granted, Failed   string // output
	DeadLetter, Retry string // Retry is the program's own third input
}

// Inputs are the topics a Processor consumes.
func (t Topics) Inputs() []string { return []string{t.Store, t.Loyalty, t.Retry} }

// retryWeight is that of the retry topic, where an input's is 1: what was parked
// has waited long and is mostly in trouble; what is new should not wait for it.
const retryWeight = 1.0 / 8

// weight of a consumed topic where what is scarce is shared: call slots, and the
// calls of the fleet.
func (t Topics) weight(topic string) float64 {
	if topic == t.Retry {
		return retryWeight
	}
	return 1
}

// Schemas are the topics whose values have the program's own schemas.
func (t Topics) Schemas() schemas.Topics {
	return schemas.Topics{Inputs: []string{t.Store, t.Loyalty}, Granted: t.Granted, Failed: t.Failed}
}

// All are all six topics.
func (t Topics) All() []string {
	return []string{t.Store, t.Loyalty, t.Granted, t.Failed, t.DeadLetter, t.Retry}
}

// Refusal says what an answer ends in that refuses, but may not mean it.
type Refusal string

// What such an answer can end in.
const (
	ParkRefusal Refusal = "park" // call again, and later from the retry topic: a coupon may have been granted
	FailRefusal Refusal = "fail" // Tmall is known to mean it
)

// Code10 says whom code 10 (service currently unavailable) is about.
type Code10 string

// Whom code 10 can be about.
const (
	Code10Gateway Code10 = "gateway" // call again for as long as it lasts; parked only if others are answered meanwhile
	Code10Request Code10 = "request" // Tmall is known to hide bad requests behind it: a few times, then park
)

// GroupProtocol is how partitions are shared among the replicas of a group.
type GroupProtocol string

// The group protocols.
const (
	// Classic: the replicas share among themselves, cooperative-sticky. What
	// moves is finished and committed before it moves.
	Classic GroupProtocol = "classic"
	// Consumer: the brokers share (KIP-848). Moves are quicker, but calls in
	// flight are repeated by the new owner. For Kafka 4.3 or later.
	Consumer GroupProtocol = "consumer"
)

// Retry says how long and how often a request is tried.
type Retry struct {
	MinBackoff       time.Duration // before the second attempt; doubles from there
	MaxBackoff       time.Duration // never longer than this between two attempts
	DoubtfulAttempts int           // answers that leave doubt, before the request is parked
	BusinessAttempts int           // answers that said -11, before the request is refused
	RefusalInDoubt   Refusal       // of a request that an earlier attempt may have granted
	Code10           Code10
	Code42           Refusal       // and 43
	Delay            time.Duration // a parked request waits this long, always the same
	ParkAfter        time.Duration // a request that waits longer than this while others are answered is parked
	GiveUpAfter      time.Duration // a parked request in doubt becomes a dead letter after waiting this long while others are answered
}

// Config of a Processor. DefaultConfig says what each field is by default.
type Config struct {
	Group              string // the one group of all replicas: two of them would end everything twice
	TransactionalID    string // stable across restarts of this replica, unique in the cluster
	Topics             Topics
	SessionTimeout     time.Duration // at least 1 s: a replica that is silent for so long loses its partitions
	HeartbeatInterval  time.Duration // at most a third of that
	TransactionTimeout time.Duration // a transaction takes milliseconds; this bounds a broken one
	RequireTV2         bool          // refuse brokers without transaction version 2
	GroupProtocol      GroupProtocol

	WindowRecords    int // of one partition
	WindowBytes      int // of one partition
	WindowTotalBytes int // of all partitions of this replica; see windows.divide

	CallTimeout       time.Duration // gateway.timeout, of one whole call
	MaxInFlight       int           // calls at once of this replica
	Rate              float64       // calls per second of the whole fleet; 0: no limit
	DailyBudget       int           // calls of the whole fleet per day in Beijing; 0: no limit
	IdempotencyWindow time.Duration // how long Tmall is taken to honour an out_id

	MaxAge time.Duration // of a request that has no expires_at; 0: none
	Retry  Retry

	StopTimeout          time.Duration // from the request to stop until calls in flight are given up
	AcceptForeignOffsets bool          // go on from a commit that is not ours: what was ended above it ends again
	AcceptLostInput      bool          // go on behind a gap in the input: what was in it never ends
	AcceptRefusals       bool          // fail what is refused as wrong, however much of it
	Version              string        // stamped on dead letters
}

// DefaultConfig is what runs where nothing else is said.
func DefaultConfig() Config {
	return Config{
		Group: "coupongrant",
		Topics: Topics{
			Store: "coupon-grant-requested.store", Loyalty: "coupon-grant-requested.loyalty",
			Granted: "coupon-granted", Failed: "coupon-grant-failed",
			DeadLetter: "coupon-grant-dead-letter", Retry: "coupon-grant-retry",
		},
		SessionTimeout:     10 * time.Second,
		HeartbeatInterval:  3 * time.Second,
		GroupProtocol:      Classic,
		TransactionTimeout: 15 * time.Second,
		WindowRecords:      4096,
		WindowBytes:        8 << 20,
		WindowTotalBytes:   48 << 20,
		CallTimeout:        10 * time.Second,
		MaxInFlight:        256,
		IdempotencyWindow:  24 * time.Hour,
		Retry: Retry{
			MinBackoff: 200 * time.Millisecond, MaxBackoff: 5 * time.Second,
			DoubtfulAttempts: 5, BusinessAttempts: 3, RefusalInDoubt: ParkRefusal,
			Code10: Code10Gateway, Code42: ParkRefusal,
			Delay: 5 * time.Minute, ParkAfter: 30 * time.Second, GiveUpAfter: 12 * time.Hour,
		},
		StopTimeout: 15 * time.Second,
	}
}

// Validate reports every problem at once, each naming the key, the value and
// the mend.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Group != "", "kafka.group is empty: name the consumer group")
	check(c.TransactionalID != "", "kafka.transactional_id is empty: give this replica a name of its own that survives a restart")
	errs = append(errs, c.Topics.validate()...)
	check(c.SessionTimeout >= time.Second, "kafka.session_timeout is %v: brokers take no less than a second or so; 45s is usual", c.SessionTimeout)
	check(c.HeartbeatInterval > 0 && c.HeartbeatInterval*3 <= c.SessionTimeout, "kafka.heartbeat_interval is %v: use at most a third of kafka.session_timeout (%v)", c.HeartbeatInterval, c.SessionTimeout)
	check(c.GroupProtocol == Classic || c.GroupProtocol == Consumer, "kafka.group_protocol is %q: use classic or consumer", c.GroupProtocol)
	check(c.TransactionTimeout >= time.Second, "kafka.transaction_timeout is %v: use at least 1s; 15s is usual", c.TransactionTimeout)
	check(c.WindowRecords >= 1, "window.records is %d: use at least 1", c.WindowRecords)
	check(c.WindowBytes >= 1<<20, "window.bytes is %d: use at least 1048576, so that the largest record fits", c.WindowBytes)
	check(c.WindowTotalBytes >= c.WindowBytes, "window.total_bytes is %d: it must not be below window.bytes (%d)", c.WindowTotalBytes, c.WindowBytes)
	check(c.CallTimeout > 0, "gateway.timeout is %v: use a positive duration such as 10s", c.CallTimeout)
	check(c.MaxInFlight >= 1, "gateway.max_in_flight is %d: use at least 1", c.MaxInFlight)
	check(c.Rate >= 0, "gateway.rate is %v: use calls per second, or 0 for no limit", c.Rate)
	check(c.DailyBudget >= 0, "gateway.daily_budget is %d: use calls per day, or 0 for no limit", c.DailyBudget)
	check(c.IdempotencyWindow > 0, "gateway.idempotency_window is %v: use how long Tmall honours an out_id, such as 24h", c.IdempotencyWindow)
	check(c.MaxAge >= 0, "request.max_age is %v: use a positive duration, or 0 for none", c.MaxAge)
	check(c.StopTimeout > c.CallTimeout, "stop_timeout is %v: it must be longer than gateway.timeout (%v), so that a call in flight can end", c.StopTimeout, c.CallTimeout)
	errs = append(errs, c.Retry.validate()...)
	return errors.Join(errs...)
}

func (t Topics) validate() []error {
	var errs []error
	seen := map[string]string{}
	for _, topic := range []struct{ key, name string }{
		{"topics.store", t.Store},
		{"topics.loyalty", t.Loyalty},
		{"topics.granted", t.Granted},
		{"topics.failed", t.Failed},
		{"topics.dead_letter", t.DeadLetter},
		{"topics.retry", t.Retry},
	} {
		if topic.name == "" {
			errs = append(errs, fmt.Errorf("%s is empty: name the topic", topic.key))
			continue
		}
		if !isTopicName(topic.name) {
			errs = append(errs, fmt.Errorf("%s is %q, which can be no topic's name: use 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'", topic.key, topic.name))
		}
		if other, ok := seen[topic.name]; ok {
			errs = append(errs, fmt.Errorf("%s is %q, as is %s: each topic needs a name of its own", topic.key, topic.name, other))
		}
		seen[topic.name] = topic.key
	}
	return errs
}

func (r Retry) validate() []error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(r.MinBackoff > 0, "retry.min_backoff is %v: use a positive duration such as 200ms", r.MinBackoff)
	check(r.MaxBackoff >= r.MinBackoff, "retry.max_backoff is %v: it must not be below retry.min_backoff (%v)", r.MaxBackoff, r.MinBackoff)
	check(r.DoubtfulAttempts >= 1, "retry.doubtful_attempts is %d: use at least 1", r.DoubtfulAttempts)
	check(r.BusinessAttempts >= 1, "retry.business_attempts is %d: use at least 1", r.BusinessAttempts)
	check(r.RefusalInDoubt == ParkRefusal || r.RefusalInDoubt == FailRefusal, "retry.refusal_in_doubt is %q: use park or fail", r.RefusalInDoubt)
	check(r.Code10 == Code10Gateway || r.Code10 == Code10Request, "retry.code_10 is %q: use gateway or request", r.Code10)
	check(r.Code42 == ParkRefusal || r.Code42 == FailRefusal, "retry.code_42 is %q: use park or fail", r.Code42)
	check(r.Delay > 0, "retry.delay is %v: use a positive duration such as 5m", r.Delay)
	check(r.ParkAfter > 0, "retry.park_after is %v: use a positive duration such as 30s", r.ParkAfter)
	check(r.GiveUpAfter >= r.Delay, "retry.give_up_after is %v: it must not be below retry.delay (%v)", r.GiveUpAfter, r.Delay)
	return errs
}

// isTopicName says that brokers take a name (org.apache.kafka.common.internals.Topic).
func isTopicName(name string) bool {
	return len(name) <= 249 && name != "." && name != ".." && !strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r)
	})
}

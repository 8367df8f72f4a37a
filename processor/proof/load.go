package proof

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/coupongrant/coupongrant/schemas"
)

// Canary is part of every open_id that a Load makes up: where it turns up in a
// log, a header or a result topic, promise P7 is broken.
const Canary = "canaryOpenId"

// LoadConfig of a Load. Shares are of all events, 0 to 1.
type LoadConfig struct {
	Seed           uint64
	Store, Loyalty string    // topics
	From           time.Time // occurred_at of the first event
	Every          time.Duration
	Keys           int     // different keys a topic; 0: every key is null
	NullKeys       float64 // without a key
	Flawed         float64 // that are no request; see Flaw
	Repeats        float64 // that are an earlier request once more
}

// Load makes seeded events: the same Config gives the same events, so that a
// suite knows what must come out. Ids of different seeds differ. Not safe for
// concurrent use.
type Load struct {
	cfg  LoadConfig
	rand *rand.Rand
	made int64
	last map[string]Event // of each topic, to be repeated
}

// Event is one record for an input topic.
type Event struct {
	Topic   string
	Key     []byte    // nil: no key
	At      time.Time // when it happens: occurred_at, but for a Repeat
	Request schemas.Request
	Flaw    Flaw
	Repeat  bool // Request was there before, with the same content
}

// NewLoad starts from the first event.
func NewLoad(cfg LoadConfig) *Load {
	return &Load{cfg: cfg, rand: rand.New(rand.NewPCG(cfg.Seed, 0)), last: map[string]Event{}}
}

// Next is the next event; there is no last one.
func (l *Load) Next() Event {
	e := Event{At: l.cfg.From.Add(time.Duration(l.made) * l.cfg.Every)}
	visit := l.visit
	e.Topic = l.cfg.Store
	if l.rand.IntN(3) == 0 {
		e.Topic, visit = l.cfg.Loyalty, l.milestone
	}
	e.Key, e.Request = visit(e.At)
	if l.chance(l.cfg.NullKeys) {
		e.Key = nil
	}
	before, met := l.last[e.Topic]
	switch {
	case l.chance(l.cfg.Flawed):
		e.Flaw = Flaw(1 + l.rand.IntN(int(flaws)))
	case l.chance(l.cfg.Repeats) && met:
		e.Key, e.Request, e.Repeat = before.Key, before.Request, true
	default:
		l.last[e.Topic] = e
	}
	l.made++
	return e
}

func (l *Load) chance(share float64) bool { return l.rand.Float64() < share }

// key spreads over the configured number of keys.
func (l *Load) key(format string) []byte {
	if l.cfg.Keys == 0 {
		return nil
	}
	return fmt.Appendf(nil, format, l.rand.IntN(l.cfg.Keys))
}

// visit is a checkout in a store, keyed by till.
func (l *Load) visit(at time.Time) ([]byte, schemas.Request) {
	store, coupon := fmt.Sprintf("S%03d", l.rand.IntN(120)), int32(276)
	if l.rand.IntN(4) == 0 {
		coupon = 357
	}
	receipt := fmt.Sprintf("%s-%s-%05d", store, at.Format("20060102"), l.rand.IntN(100_000))
	r := l.request("checkout", at, coupon)
	r.BizCode, r.Channel = "store", "pos"
	r.Trigger = &schemas.Trigger{Kind: "store-checkout", StoreID: &store, ReceiptID: &receipt}
	return l.key("till-%04d"), r
}

// milestone is a step in a loyalty programme, keyed by member number.
func (l *Load) milestone(at time.Time) ([]byte, schemas.Request) {
	program, step := "gold-club", fmt.Sprintf("%d-points", 500*(1+l.rand.IntN(6)))
	r := l.request("milestone", at, 247)
	r.BizCode, r.Channel = "loyalty", "app"
	r.ExpiresAt = r.OccurredAt.AddDate(0, 0, 30)
	r.Trigger = &schemas.Trigger{Kind: "loyalty-milestone", ProgramID: &program, Milestone: &step}
	return l.key("member-%06d"), r
}

func (l *Load) request(kind string, at time.Time, couponType int32) schemas.Request {
	return schemas.Request{
		RequestID:  fmt.Sprintf("%s-%x-%07d", kind, l.cfg.Seed, l.made),
		OccurredAt: at.UTC().Truncate(time.Millisecond),
		OpenID:     schemas.NewOpenID(fmt.Sprintf("AAE%s%016x", Canary, l.rand.Uint64())),
		CouponCode: fmt.Sprintf("c%d-%02d", couponType, l.rand.IntN(12)),
		CouponType: couponType,
	}
}

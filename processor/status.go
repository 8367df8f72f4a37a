package processor

import (
	"cmp"
	"slices"
	"time"
)

// Status is what a person asks after Health. What it says of the partitions was
// taken between two steps of the session; At says when, and is old where the
// session is wedged or waits for its transaction. What it says of the gateway and
// of each oldest request is of the scheduler, which never waits for anybody.
type Status struct {
	Health

	At         time.Time         `json:"at"`
	Gateway    GatewayStatus     `json:"gateway"`
	Partitions []PartitionStatus `json:"partitions"` // by topic, then partition; those this replica holds
}

// GatewayStatus is what lets calls start, or stops them.
type GatewayStatus struct {
	Breaker          string     `json:"breaker"` // closed, half-open, open
	Trouble          []string   `json:"trouble"` // kinds of app trouble that stop all calls; never null
	BannedUntil      *time.Time `json:"banned_until,omitempty"`
	InFlight         int        `json:"in_flight"`
	MaxInFlight      int        `json:"max_in_flight"`
	Rate             float64    `json:"rate"`                         // this replica's share, calls a second
	RateOfFleet      float64    `json:"rate_of_fleet"`                // 0: no limit
	BudgetLeft       *int64     `json:"budget_left,omitempty"`        // calls of the day that this replica may make now, if there is a daily budget
	BudgetOfDay      *int64     `json:"budget_of_day,omitempty"`      // of the fleet
	SessionExpiresAt *time.Time `json:"session_expires_at,omitempty"` // filled in by who knows the configuration
}

// PartitionStatus is where a partition stands, and why it waits.
type PartitionStatus struct {
	Topic      string        `json:"topic"`
	Partition  int32         `json:"partition"`
	Watermark  int64         `json:"watermark"`  // committed offset
	Ceiling    int64         `json:"ceiling"`    // committed: records below may have been called
	Next       int64         `json:"next"`       // the next offset to take in
	End        int64         `json:"end"`        // the broker's last stable offset as last seen; -1 unknown
	Unfinished int           `json:"unfinished"` // taken in, no committed end
	Parked     int64         `json:"parked"`     // of them, in the retry topic only: not due yet
	Backlog    int64         `json:"backlog"`    // known to be there and without a committed end; no markers, none that are parked and not due
	Bytes      int           `json:"bytes"`
	Oldest     *OldestStatus `json:"oldest,omitempty"` // the oldest unfinished request
	Why        string        `json:"why"`              // one sentence why it waits; empty: nothing waits
}

// OldestStatus is the oldest record of a partition without a committed end.
type OldestStatus struct {
	Offset     int64     `json:"offset"`
	RequestID  string    `json:"request_id"` // empty: not decoded yet
	Written    time.Time `json:"written"`    // its Kafka timestamp
	Attempts   int       `json:"attempts"`
	LastAnswer string    `json:"last_answer"` // the code, no message; empty: none yet
}

// Status may be called at any time, and waits for nobody.
func (p *Processor) Status() Status {
	m := p.moment()
	s := Status{
		Health: p.health(m.holds),
		At:     m.session.at.UTC(), Gateway: p.gatewayStatus(m), Partitions: make([]PartitionStatus, 0, len(m.session.partitions)),
	}
	for i := range m.session.partitions {
		s.Partitions = append(s.Partitions, m.partitionStatus(&m.session.partitions[i]))
	}
	slices.SortFunc(s.Partitions, func(a, b PartitionStatus) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return s
}

func (p *Processor) gatewayStatus(m *moment) GatewayStatus {
	v := m.scheduler
	g := GatewayStatus{
		Breaker: p.deps.Breaker.State().String(), Trouble: []string{}, InFlight: v.inFlight,
		MaxInFlight: p.cfg.MaxInFlight, Rate: v.rate, RateOfFleet: p.cfg.Rate,
	}
	for _, kind := range v.trouble {
		if kind != "" {
			g.Trouble = append(g.Trouble, kind)
		}
	}
	if v.bannedUntil.After(m.now) {
		until := v.bannedUntil.UTC()
		g.BannedUntil = &until
	}
	if p.cfg.DailyBudget > 0 {
		left, of := int64(v.budgetLeft), int64(p.cfg.DailyBudget)
		g.BudgetLeft, g.BudgetOfDay = &left, &of
	}
	return g
}

func (m *moment) partitionStatus(v *partitionView) PartitionStatus {
	s := PartitionStatus{
		Topic: v.topic, Partition: v.number, Watermark: v.watermark, Ceiling: v.ceiling, Next: v.next, End: v.logEnd,
		Unfinished: v.live, Bytes: v.bytes, Why: m.why(v),
	}
	if sup := m.supplyOf(v); sup != nil {
		s.Parked = int64(min(sup.parked, v.live))
	}
	s.Backlog = int64(v.live) - s.Parked
	if s.Parked == 0 { // what is not taken in of a retry partition is due later still
		s.Backlog += m.untaken(v)
	}
	if t := m.oldest(v); t != nil {
		s.Oldest = &OldestStatus{Offset: t.offset, RequestID: t.id, Written: t.written.UTC(), Attempts: t.attempts, LastAnswer: t.lastAnswer}
	}
	return s
}

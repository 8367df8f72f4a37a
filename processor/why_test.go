package processor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Each way in which a record can wait has its sentence, and what does not wait has
// none. The first row of each kind is how it is; the next ones differ in what is
// said of it.
func TestWhyAPartitionWaits(t *testing.T) {
	now := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	in := func(d time.Duration) time.Time { return now.Add(d) }
	at := assignment{partition{"store", 3}, 7}
	task := func(with taskView) *taskView {
		with.offset, with.id = 123, "order-17"
		if with.taken.IsZero() {
			with.taken = ago(10 * time.Second)
		}
		return &with
	}
	hold := func(kind, where, reason string) Hold { return Hold{Kind: kind, Where: where, Reason: reason} }
	turn := task(taskView{state: taskTurn})
	for name, row := range map[string]struct {
		oldest    *taskView // with the scheduler
		scheduler schedulerView
		session   sessionView
		partition partitionView
		holds     []Hold
		committed time.Duration
		want      string
	}{
		"nothing is there": {partition: partitionView{live: -1}, want: ""},
		"markers are no records": {
			partition: partitionView{live: -1, next: 10, logEnd: 12, newest: ago(time.Minute)},
			want:      "",
		},
		"held by itself": {
			oldest: turn, holds: []Hold{hold(holdLostInput, "store/3", "offsets 1 to 5 were deleted before all in them had ended")},
			want: "held: offsets 1 to 5 were deleted before all in them had ended",
		},
		"held with nothing taken in": {
			partition: partitionView{live: -1, withheld: true}, holds: []Hold{hold(holdMetadata, "store/3", "metadata cannot be read")},
			want: "held: metadata cannot be read",
		},
		"another is held": {oldest: task(taskView{state: taskCalled, since: ago(10 * time.Millisecond)}), holds: []Hold{hold(holdLostInput, "store/4", "a gap")}, want: ""},
		"no broker answers": {
			oldest: turn, holds: []Hold{hold(holdKafka, "brokers", "no broker answers (kafka-1:9092)")},
			want: "no broker answers (kafka-1:9092)",
		},
		"another cannot be opened": {oldest: task(taskView{state: taskCalled, since: ago(10 * time.Millisecond)}), holds: []Hold{hold(holdKafka, "offsets", "not given")}, want: ""},
		"no broker answers, and records are there": {
			partition: partitionView{live: -1, next: 10, logEnd: 12, newest: ago(time.Minute)}, holds: []Hold{hold(holdKafka, "brokers", "no broker answers")},
			want: "no broker answers",
		},

		"being called for a moment": {oldest: task(taskView{state: taskCalled, since: ago(200 * time.Millisecond)}), want: ""},
		"being called for long": {
			oldest: task(taskView{state: taskCalled, since: ago(4200 * time.Millisecond), attempts: 2, lastAnswer: "isp.http-timeout"}),
			want:   "its oldest request order-17 (offset 123) is being called for 4.2 s, attempt 3, last answer isp.http-timeout",
		},
		"being called for long, first": {
			oldest: task(taskView{state: taskCalled, since: ago(2 * time.Second)}),
			want:   "its oldest request order-17 (offset 123) is being called for 2.0 s, attempt 1",
		},
		"between two attempts": {
			oldest: task(taskView{state: taskLater, due: in(1500 * time.Millisecond), attempts: 3, lastAnswer: "timeout"}),
			want:   "its oldest request order-17 (offset 123) is called again in 1.5 s, after 3 attempts, last answer timeout",
		},
		"parked": {
			oldest: task(taskView{state: taskParked, due: in(3 * time.Minute), attempts: 5}),
			want:   "its oldest request order-17 (offset 123) is parked after 5 attempts, and due at 2026-11-26T03:03:00Z (in 3m0s)",
		},
		"moves to another replica": {
			oldest: task(taskView{state: taskReleased}),
			want:   "its oldest request order-17 (offset 123) waits for its next owner: the partition moves to another replica",
		},
		"schema unknown for a moment": {oldest: task(taskView{state: taskSchema, need: 9, taken: ago(100 * time.Millisecond)}), want: ""},
		"schema unknown": {
			oldest: task(taskView{state: taskSchema, need: 9}),
			want:   "its oldest request order-17 (offset 123) waits for schema 9 from the registry",
		},
		"registry down": {
			oldest: task(taskView{state: taskSchema, need: 9}), holds: []Hold{hold(holdRegistry, "schemas", "schema 9: no answer")},
			want: "its oldest request order-17 (offset 123) waits for schema 9 from the registry: schema 9: no answer",
		},

		"its turn comes at once": {oldest: task(taskView{state: taskTurn, taken: ago(100 * time.Millisecond)}), want: ""},
		"its turn":               {oldest: turn, want: "its oldest request order-17 (offset 123) waits for its turn to be called"},
		"slots": {
			oldest: turn, scheduler: schedulerView{barrier: barrierSlots},
			want: "its oldest request order-17 (offset 123) waits for a call slot: all 256 of gateway.max_in_flight are in use",
		},
		"ban": {
			oldest: turn, scheduler: schedulerView{barrier: barrierGate, bannedUntil: in(time.Minute)},
			holds: []Hold{hold(holdGateway, "limit", "the gateway limits our calls until 03:01")},
			want:  "its oldest request order-17 (offset 123) waits, as all do: the gateway limits our calls until 03:01",
		},
		"app in trouble": {
			oldest: turn, scheduler: schedulerView{barrier: barrierGate, nextProbe: in(12 * time.Second)},
			holds: []Hold{hold(holdApp, "", "the session has expired: replace the content of gateway.session_file")},
			want:  "its oldest request order-17 (offset 123) waits, as all do: all calls are stopped, next probe in 12.0 s: the session has expired: replace the content of gateway.session_file",
		},
		"app in trouble, being probed": {
			oldest: turn, scheduler: schedulerView{barrier: barrierGate, nextProbe: ago(time.Second)},
			holds: []Hold{hold(holdApp, troubleRefusals, "most answers refuse")},
			want:  "its oldest request order-17 (offset 123) waits, as all do: all calls are stopped, a probe is under way: most answers refuse",
		},
		"lease": {
			oldest: turn, scheduler: schedulerView{barrier: barrierQuota},
			holds: []Hold{hold(holdKafka, "quota", "the coordinator has not answered")},
			want:  "the coordinator has not answered",
		},
		"daily budget": {
			oldest: turn, scheduler: schedulerView{barrier: barrierQuota},
			holds: []Hold{hold(holdGateway, "budget", "gateway.daily_budget is used up")},
			want:  "its oldest request order-17 (offset 123) waits for quota: gateway.daily_budget is used up",
		},
		"rate": {
			oldest: turn, scheduler: schedulerView{barrier: barrierQuota, rate: 2.5},
			want: "its oldest request order-17 (offset 123) waits for quota: this replica may make 2.5 calls a second, its share of gateway.rate (10)",
		},
		"breaker": {
			oldest: turn, scheduler: schedulerView{barrier: barrierBreaker, until: in(1500 * time.Millisecond)},
			want: "its oldest request order-17 (offset 123) waits for the gateway: the breaker is not closed, next probe in 1.5 s",
		},
		"stopping": {
			oldest: turn, scheduler: schedulerView{barrier: barrierStopping},
			want: "its oldest request order-17 (offset 123) waits for its next owner: this replica stops",
		},

		"ceiling not committed for a moment": {oldest: task(taskView{state: taskCeiling, taken: ago(100 * time.Millisecond)}), want: ""},
		"ceiling not committed": {
			oldest: task(taskView{state: taskCeiling}),
			want:   "its oldest request order-17 (offset 123) may be called when a transaction has raised the ceiling: it waits for the next transaction",
		},
		"ceiling, and transactions fail": {
			oldest: task(taskView{state: taskCeiling}), session: sessionView{failures: 3},
			want: "its oldest request order-17 (offset 123) may be called when a transaction has raised the ceiling: it waits for the next transaction: 3 in a row did not commit",
		},
		"results for a moment": {partition: partitionView{ended: task(taskView{}), endedAt: ago(100 * time.Millisecond)}, want: ""},
		"results": {
			partition: partitionView{ended: task(taskView{}), endedAt: ago(2 * time.Second)},
			want:      "its results wait for the next transaction",
		},
		"results, a rebalance": {
			partition: partitionView{ended: task(taskView{}), endedAt: ago(2 * time.Second)}, session: sessionView{joining: true},
			want: "its results wait until the group is joined anew: a rebalance is under way",
		},
		"results, a slow transaction": {
			partition: partitionView{ended: task(taskView{}), endedAt: ago(5 * time.Second)}, committed: 5 * time.Second,
			want: "its results wait for a transaction that has been under way for 5.0 s: the brokers are slow to answer",
		},
		"results that cannot be written": {
			partition: partitionView{ended: task(taskView{}), endedAt: now}, holds: []Hold{hold(holdTopic, "results", "TOPIC_AUTHORIZATION_FAILED: outcomes wait")},
			want: "its results wait: TOPIC_AUTHORIZATION_FAILED: outcomes wait",
		},
		"transactions fail": {
			partition: partitionView{ended: task(taskView{}), endedAt: now}, holds: []Hold{hold(holdTransaction, "", "5 transactions in a row did not commit")},
			want: "its results wait: 5 transactions in a row did not commit",
		},
		"metadata too large": {
			partition: partitionView{ended: task(taskView{}), endedAt: now}, holds: []Hold{hold(holdMetadata, "", "the brokers do not take 48 bytes")},
			want: "its results wait: the brokers do not take 48 bytes",
		},
		"on its way between the two":        {committed: 20 * time.Millisecond, want: ""},
		"on its way, a slow transaction":    {committed: 7 * time.Second, want: "its results wait for a transaction that has been under way for 7.0 s: the brokers are slow to answer"},
		"not decoded for a moment":          {partition: partitionView{undecoded: &taskView{offset: 123, taken: ago(time.Millisecond)}}, want: ""},
		"not decoded":                       {partition: partitionView{undecoded: &taskView{offset: 123, taken: ago(3 * time.Second)}}, want: "its oldest record (offset 123) waits to be decoded"},
		"an epoch that is over is not ours": {oldest: turn, partition: partitionView{assignment: assignment{at.partition, 8}}, want: ""},

		"window full": {
			oldest: task(taskView{state: taskCalled, since: ago(4 * time.Second)}), partition: partitionView{live: 4096, bytes: 6 << 20, full: true},
			want: "window full (4096 unfinished, 6144 KiB), nothing more is taken in until half of it has ended: its oldest request order-17 (offset 123) is being called for 4.0 s, attempt 1",
		},
		"window full, and it moves": {
			oldest: task(taskView{state: taskCalled, since: now}), partition: partitionView{live: 4096, bytes: 6 << 20, full: true},
			want: "window full (4096 unfinished, 6144 KiB), nothing more is taken in until half of it has ended",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := row.partition
			if p.epoch == 0 {
				p.assignment = at
			}
			p.live, p.oldest = max(p.live, 0), 123
			if p.live == 0 && row.partition.live == 0 {
				p.live = 1
			}
			row.session.at = now
			row.scheduler.supplies = map[partition]supplyView{at.partition: {epoch: at.epoch, oldest: row.oldest}}
			m := &moment{
				now: now, holds: row.holds, session: &row.session, scheduler: &row.scheduler, committing: row.committed,
				maxInFlight: 256, fleetRate: 10,
			}
			require.Equal(t, row.want, m.why(&p))
		})
	}
}

func TestWhyARequestWaitsBehindItsKey(t *testing.T) {
	now := time.Now()
	m := &moment{now: now, session: &sessionView{at: now}, scheduler: &schedulerView{at: now}}
	first := &taskView{offset: 5, id: "order-1", state: taskCalled, since: now.Add(-3 * time.Second)}
	require.Equal(t, "it waits for the request order-1 (offset 5), which is before it in the order of its key: the request order-1 is being called for 3.0 s, attempt 1",
		m.whyTask(&taskView{offset: 9, id: "order-2", state: taskBehind, ahead: first}, "it"))
	undecoded := &taskView{offset: 5, state: taskSchema, need: 9, taken: now.Add(-3 * time.Second)}
	require.Equal(t, "it waits for the record (offset 5), which is before it in the order of its key: the record waits for schema 9 from the registry",
		m.whyTask(&taskView{offset: 9, id: "order-2", state: taskBehind, ahead: undecoded}, "it"))
}

func TestBacklogLeavesOutMarkersAndWhatIsParked(t *testing.T) {
	now := time.Now()
	at := assignment{partition{"store", 0}, 1}
	for name, row := range map[string]struct {
		view   partitionView
		parked int
		want   int64
	}{
		"all done, markers at the end":    {partitionView{next: 10, logEnd: 12, newest: now.Add(-time.Minute)}, 0, 0},
		"being fetched":                   {partitionView{next: 10, logEnd: 12, newest: now}, 0, 2},
		"unfinished":                      {partitionView{next: 10, logEnd: 10, live: 4}, 0, 4},
		"window full, the rest out there": {partitionView{next: 10, logEnd: 110, live: 8, full: true, newest: now.Add(-time.Hour)}, 0, 108},
		"parked, and more of them":        {partitionView{next: 10, logEnd: 110, live: 8, full: true, newest: now.Add(-time.Hour)}, 8, 0},
		"parked, one is due":              {partitionView{next: 10, logEnd: 10, live: 8}, 7, 1},
		"end not known":                   {partitionView{next: 10, logEnd: -1, live: 1}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			row.view.assignment = at
			m := &moment{now: now, session: &sessionView{at: now}, scheduler: &schedulerView{
				supplies: map[partition]supplyView{at.partition: {epoch: 1, parked: row.parked}},
			}}
			require.Equal(t, row.want, m.partitionStatus(&row.view).Backlog)
		})
	}
}

//go:build chaos

package proof_test

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/processor/proof"
)

const (
	quotaRate       = 200 // calls a second of the fleet
	quotaReplicas   = 4
	quotaPartitions = 8 // of each topic
	quotaQuiet      = 12 * time.Second
	quotaBacklog    = 24_000 // more than can be called while it is measured
	quotaWindow     = 10 * time.Second
	quotaMost       = 2050 // calls in any such time
	quotaUse        = 0.9
	stillWaiting    = 50 // requests that wait in a partition: what is demand
)

// change of who holds what.
type change struct {
	what string
	at   time.Time
}

// TestQuotaOnKafka has four replicas, with more to do than they may, share a
// quota through a restart in good order, a kill and a stop beyond the session.
func TestQuotaOnKafka(t *testing.T) {
	c, dir := prepare(t, quotaForm(form{name: "quota on Kafka", real: true}))
	var whole span
	var changes []change
	idle := 0
	c.watched(func() {
		require.NoError(t, c.feed.lay(t.Context(), quotaBacklog, quotaPartitions))
		require.NoError(t, within(readyToStrike, "full speed is not reached", func() bool {
			return len(span{time.Now().Add(-time.Second), time.Now()}.among(c.calls.begun(nil))) > quotaRate*quotaUse
		}))
		whole.from = time.Now()
		changes = c.changeOwners()
		whole.to = time.Now()
		idle = c.partitionsWithout(stillWaiting)
	})
	r := c.judge()
	t.Log(r.summary())

	figures := c.quotaFigures(whole, changes)
	figures["violations"], figures["partitions without demand"] = float64(total(r.Violations)), float64(idle)
	figures["failed"] = float64(totalOf(r.Ends.Failed) + totalOf(r.Ends.DeadLetters))
	run := caseRun{Pair: 1, Kind: together, Began: whole.from.UTC(), Figures: figures}
	c.conclude(c.troubled("quota", r, []caseRun{run}), []caseMeasure{
		highest("calls that arrived at the gateway in any 10 s, most", "arrived in 10 s, most").in(together).atMost(quotaMost),
		highest("calls that left the replicas in any 10 s, most", "left in 10 s, most").in(together).atMost(quotaMost),
		lowest("share of the quota used, outside one session timeout after each change", "use outside of changes").in(together).atLeast(quotaUse),
		highest("partitions in which nothing waited any more at the end", "partitions without demand").in(together).atMost(0),
		lowest("changes", "changes").in(together).atLeast(6),
		highest("promises broken", "violations").in(together).atMost(0),
		highest("requests that were not granted", "failed").in(together).atMost(0),
	}, dir)
}

// TestQuotaSeesSharesThatAreKept is the control: replicas that never let go of a
// share must be caught calling more often than the fleet may.
func TestQuotaSeesSharesThatAreKept(t *testing.T) {
	c, _ := prepare(t, quotaForm(form{name: "control of quota on kfake", control: "share-kept"}))
	c.watched(func() {
		require.NoError(t, c.feed.lay(t.Context(), quotaBacklog/4, quotaPartitions))
		require.NoError(t, c.replace(c.crew.living("")[0])) // the others take over, and keep it
		time.Sleep(quotaQuiet)
	})
	r := c.judge()
	t.Log(r.summary())
	figures := c.quotaFigures(span{c.began, time.Now()}, nil)
	t.Log(figures)

	require.Empty(t, r.Violations, "only the quota is broken")
	require.Greater(t, figures["arrived in 10 s, most"], float64(quotaMost), "the planted bug was not seen")
	require.Greater(t, figures["left in 10 s, most"], float64(quotaMost))
}

// quotaForm has demand in each partition.
func quotaForm(f form) form {
	f.brokers, f.replicas, f.partitions, f.rate, f.drain = 1, quotaReplicas, quotaPartitions, quotaRate, shortDrain
	f.gateway, f.shape = gatewaySetup{Script: untroubled}, alternately(everyoneGets)
	f.settings = map[string]string{"gateway.rate": strconv.Itoa(quotaRate), "retry.give_up_after": "10m"}
	return f
}

// alternately gives each topic every second event.
func alternately(shape func(*proof.Event) bool) func(*proof.Event) bool {
	var last string
	return func(e *proof.Event) bool {
		if e.Topic == last || !shape(e) {
			return false
		}
		last = e.Topic
		return true
	}
}

// lay writes a backlog, the same for each partition of both inputs.
func (f *feed) lay(ctx context.Context, events, partitions int) error {
	client, err := kgo.NewClient(append(f.system.options(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(events))...)
	if err != nil {
		return err
	}
	defer client.Close()
	for i := range events {
		record, err := f.next(-1)
		if err != nil {
			return err
		}
		record.Partition = int32(i / len(f.system.topics.Inputs) % partitions)
		client.Produce(ctx, record, f.written)
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// changeOwners has three processes leave, each in its own way, and come back.
func (c *chaos) changeOwners() (all []change) {
	c.t.Helper()
	note := func(what string) {
		all = append(all, change{what, time.Now()})
		c.journal.write("%s", what)
	}
	ways := c.crew.living("")
	require.Len(c.t, ways, quotaReplicas)
	time.Sleep(quotaQuiet)

	note("SIGTERM")
	require.NoError(c.t, ways[0].stop())
	time.Sleep(quotaQuiet)
	note("return from SIGTERM")
	c.returns(ways[0])
	time.Sleep(quotaQuiet)

	note("kill -9")
	ways[1].kill("kill -9")
	time.Sleep(quotaQuiet)
	note("return from kill -9")
	c.returns(ways[1])
	time.Sleep(quotaQuiet)

	note("SIGSTOP")
	require.NoError(c.t, ways[2].signal(syscall.SIGSTOP))
	time.Sleep(quotaQuiet)
	note("SIGCONT")
	require.NoError(c.t, ways[2].signal(syscall.SIGCONT))
	time.Sleep(quotaQuiet)
	return all
}

func (c *chaos) returns(m *member) {
	c.t.Helper()
	_, err := c.crew.start(m.slot)
	require.NoError(c.t, err)
}

// partitionsWithout counts the input partitions in which fewer requests than that
// have no committed end: there the quota may be left unused for want of demand.
func (c *chaos) partitionsWithout(waiting int64) (n int) {
	c.t.Helper()
	admin := adminClient(c.t, c.cluster.addresses())
	ends, err := admin.ListEndOffsets(c.t.Context(), c.system.topics.Inputs...)
	require.NoError(c.t, err)
	committed, err := admin.FetchOffsets(c.t.Context(), c.system.group)
	require.NoError(c.t, err)
	ends.Each(func(end kadm.ListedOffset) {
		at, _ := committed.Lookup(end.Topic, end.Partition)
		if end.Offset-at.At < waiting {
			n++
		}
	})
	return n
}

// quotaFigures are of all calls, and of each part between two changes.
func (c *chaos) quotaFigures(whole span, changes []change) map[string]float64 {
	c.t.Helper()
	calls, stats := c.calls.begun(nil), c.gateway.counts(c.t)
	var at []time.Time
	for _, ch := range changes {
		at = append(at, ch.at)
	}
	quiet := outside(whole, at, sessionTimeout)
	figures := map[string]float64{
		"arrived in 10 s, most": float64(stats.MaxCallsIn10s), "arrived in 1 s, most": float64(stats.MaxCallsIn1s),
		"left in 10 s, most": float64(mostWithin(calls, quotaWindow)), "left in 1 s, most": float64(mostWithin(calls, time.Second)),
		"calls": float64(len(calls)), "changes": float64(len(changes)), "measured s": whole.seconds(),
		"use outside of changes": rateIn(calls, quiet...) / quotaRate, "use, changes and all": rateIn(calls, whole) / quotaRate,
	}
	for i, ch := range changes {
		part := span{ch.at, whole.to}
		if i+1 < len(changes) {
			part.to = changes[i+1].at
		}
		figures["use after "+ch.what] = rateIn(calls, span{ch.at.Add(sessionTimeout), part.to}) / quotaRate
		figures["most in 10 s from "+ch.what] = float64(mostWithin(part.among(calls), quotaWindow))
	}
	return figures
}

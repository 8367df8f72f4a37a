package processor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/breaker"
)

// A lane of which nobody is answered may not fill its window; but in a backlog
// of few keys every lane is long, and each keeps its order.
func TestOnlyALaneThatCrowdsTheOthersOutIsParkedBehind(t *testing.T) {
	for name, row := range map[string]struct {
		trouble, others, lanes, parked int
		called                         bool // the request that every second of them repeats
	}{
		"short":                       {trouble: 400, others: 10, lanes: 3, parked: 0},
		"a backlog of seven keys":     {trouble: 600, others: 585, lanes: 6, parked: 0},
		"one of two alike":            {trouble: 2000, others: 2000, lanes: 1, parked: 0},
		"crowds the others out":       {trouble: 2000, others: 10, lanes: 3, parked: 2000 - 2030/2 - 1},
		"alone":                       {trouble: 2000, parked: 2000 - 2000/2 - 1},
		"who repeats a call stays":    {trouble: 2000, parked: (2000/2 - 1) / 2, called: true},
		"just more than may stay":     {trouble: 600, others: 10, lanes: 3, parked: 600 - 4096/8 - 1},
		"no more than an eighth stay": {trouble: 512, others: 10, lanes: 3, parked: 0},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			a := assignment{partition{cfg.Topics.Store, 0}, 1}
			s := &scheduler{
				gate: &gate{guard: new(guard)},
				cfg:  cfg, policy: policy{cfg: cfg}, breaker: breaker.New(breaker.DefaultConfig(), nil), reports: newMailbox[report](newBell()),
				supplies: map[assignment]*supply{a: newSupply(assignment{}, 0)}, lanes: lanes{}, answered: time.Now(),
				sight: new(sight), recent: newRecent(cfg.Topics, 1), grants: newGrants(8), calling: map[string]struct{}{},
			}
			s.grants.note("granted", time.Now())
			if row.called {
				s.calling["granted"] = struct{}{}
			}
			var offset int64
			fill := func(key string, n int) *task {
				var first *task
				for range n {
					t := &task{assignment: a, offset: offset, record: &kgo.Record{Key: []byte(key)}}
					if offset++; offset%2 == 0 {
						t.request.RequestID = "granted"
					}
					s.supplies[a].admit(t)
					if s.lanes.join(t, cfg.Topics.Retry) {
						first = t
					}
				}
				return first
			}
			first := fill("trouble", row.trouble)
			for i := range row.lanes {
				fill(fmt.Sprint("other-", i), row.others)
			}
			first.lane.parkedInRow = fewParked - 1

			s.parkBehind(first, &end{task: first, kind: endParked})

			parked := s.reports.take()
			require.Len(t, parked, row.parked)
			for _, r := range parked {
				require.False(t, s.repeats(r.end.task), "what it may be told depends on the answer")
				require.Equal(t, r.end.task.request.RequestID == "granted", r.end.task.inDoubt, "who repeats another takes that along")
			}
			require.Len(t, first.lane.tasks, row.trouble-row.parked)
			require.Equal(t, int(offset)-row.parked, s.supplies[a].roll.size)
		})
	}
}

package processor

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// gateway.idempotency_window counts from the first call that anybody told us of, in
// whatever order they were told.
func TestEarliestTimeOfAGrantCounts(t *testing.T) {
	g, at := newGrants(8), time.UnixMilli(1_762_848_000_000)
	for _, since := range []time.Time{at, at.Add(-time.Hour), at.Add(time.Hour)} {
		g.note("id", since)
	}
	since, known := g.since(&task{request: schemas.Request{RequestID: "id"}})
	require.True(t, known)
	require.Equal(t, at.Add(-time.Hour), since)
	_, known = g.since(&task{request: schemas.Request{RequestID: "other"}})
	require.False(t, known)
}

// A request is granted one coupon, however often it is answered.
func TestSecondCouponOfARequestIsSeen(t *testing.T) {
	g, at := newGrants(8), time.UnixMilli(1_762_848_000_000)
	answered := func(id string, coupon int64) (before int64, found bool) {
		g.note(id, at)
		return g.another(id, coupon)
	}
	for _, coupon := range []int64{7, 7} {
		_, found := answered("id", coupon)
		require.False(t, found)
	}
	_, found := answered("other", 9)
	require.False(t, found)
	before, found := answered("id", 8)
	require.True(t, found)
	require.EqualValues(t, 7, before)
	before, found = answered("id", 8)
	require.True(t, found, "each tells")
	require.EqualValues(t, 7, before)
}

// What was read back of a record says nothing of that record itself, which may have been
// parked uncalled; of any other with its id it does, and of all once there were two.
func TestRecordIsNoRepeatOfItself(t *testing.T) {
	at := time.UnixMilli(1_762_848_000_000)
	recalled := func(source string) func(*grants) {
		return func(g *grants) {
			g.noteRecord(earlier{requestID: "id", origin: source, since: at})
		}
	}
	called := func(g *grants) { g.note("id", at) }
	for name, row := range map[string]struct {
		steps []func(*grants)
		known bool
	}{
		"itself":              {[]func(*grants){recalled("store/0/1")}, false},
		"itself, twice":       {[]func(*grants){recalled("store/0/1"), recalled("store/0/1")}, false},
		"another":             {[]func(*grants){recalled("store/0/2")}, true},
		"another first":       {[]func(*grants){recalled("store/0/2"), recalled("store/0/1")}, true},
		"another then":        {[]func(*grants){recalled("store/0/1"), recalled("store/0/2")}, true},
		"another between":     {[]func(*grants){recalled("store/0/1"), recalled("store/0/2"), recalled("store/0/1")}, true},
		"called here":         {[]func(*grants){called}, true},
		"called here then":    {[]func(*grants){recalled("store/0/1"), called}, true},
		"called here, and it": {[]func(*grants){called, recalled("store/0/1")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGrants(8)
			for _, step := range row.steps {
				step(g)
			}
			it := &task{source: "store/0/1", request: schemas.Request{RequestID: "id"}, record: &kgo.Record{}}
			back := &task{source: "store/0/9", request: it.request, record: &kgo.Record{Headers: []kgo.RecordHeader{{Key: headerReplayOf, Value: []byte(it.source)}}}}
			for _, one := range []*task{it, back} { // put back it is as much in doubt as its headers say
				_, known := g.since(one)
				require.Equal(t, row.known, known)
			}
		})
	}
}

// What is read back of long ago pushes out none that was called here a moment ago.
func TestOlderRecordPushesOutNoNewer(t *testing.T) {
	at := time.UnixMilli(1_762_848_000_000)
	g := newGrants(1)
	knows := func(id string) bool {
		_, known := g.since(&task{request: schemas.Request{RequestID: id}, record: &kgo.Record{}})
		return known
	}
	for i := range setPlaces {
		g.note(fmt.Sprint("new ", i), at)
	}
	g.noteRecord(earlier{requestID: "old", origin: "store/0/1", since: at.Add(-time.Minute)})
	require.False(t, knows("old"))
	require.True(t, knows("new 0"))
	g.noteRecord(earlier{requestID: "newer", origin: "store/0/2", since: at.Add(time.Minute)})
	require.True(t, knows("newer"))
	require.False(t, knows("new 0"))
	g.note("newest", at)
	require.True(t, knows("newest"))
	require.True(t, knows("newer"))
}

// A repeat that comes soon is known whoever else has come between: a table in which an id may take
// the place of the one just before it forgets some of these.
func TestGrantIsNotForgottenForWhatComesNext(t *testing.T) {
	at := time.UnixMilli(1_762_848_000_000)
	g := newGrants(idSets)
	const ids, between = 200_000, 100
	id := func(i int) string { return "checkout-" + strconv.Itoa(i) }
	for i := range ids {
		if i%2 == 0 {
			g.note(id(i), at)
		} else {
			g.noteRecord(earlier{requestID: id(i), origin: id(i), since: at})
		}
		if i < between {
			continue
		}
		if _, known := g.since(&task{request: schemas.Request{RequestID: id(i - between)}, record: &kgo.Record{}}); !known {
			t.Fatalf("%s is forgotten", id(i-between))
		}
	}
}

// A session is thrown away while a call is out: its answer counts for whoever comes
// with the same id, though nobody is told of it.
func TestAnswersOfASessionThatIsThrownAwayAreRemembered(t *testing.T) {
	topics := DefaultConfig().Topics
	s := &scheduler{turns: newTurns(4, topics), results: make(chan answered, 2), grants: newGrants(8)}
	for id, err := range map[string]*topclient.Error{"granted": nil, "refused": {About: topclient.AboutRequest}} {
		it := &task{assignment: assignment{partition: partition{topics.Store, 0}}, request: schemas.Request{RequestID: id}}
		s.turns.push(it)
		require.Same(t, it, s.turns.peek())
		s.turns.start()
		s.results <- answered{task: it, err: err, at: time.Now()}
	}
	s.abandon()
	for id, want := range map[string]bool{"granted": true, "refused": false} {
		_, known := s.grants.since(&task{request: schemas.Request{RequestID: id}, record: &kgo.Record{}})
		require.Equal(t, want, known, id)
	}
}

// Who is parked takes along that another with its id may have been granted meanwhile.
func TestParkedRepeatIsInDoubt(t *testing.T) {
	for _, meanwhile := range []bool{true, false} {
		a := assignment{partition{"store", 0}, 1}
		s := &scheduler{
			cfg: DefaultConfig(), supplies: map[assignment]*supply{a: newSupply(a, 10)}, lanes: lanes{}, grants: newGrants(8),
			reports: newMailbox[report](newBell()), sight: new(sight), recent: newRecent(DefaultConfig().Topics, 1),
		}
		it := &task{assignment: a, request: schemas.Request{RequestID: "id"}, record: &kgo.Record{}}
		s.supplies[a].admit(it)
		if meanwhile {
			s.grants.note("id", time.Now())
		}
		s.conclude(it, verdict{action: actPark}, answered{})
		ends := s.reports.take()
		require.Len(t, ends, 1)
		require.Equal(t, meanwhile, ends[0].end.task.inDoubt)
	}
}

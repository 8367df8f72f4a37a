package processor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/schemas"
)

// gateway.idempotency_window counts from the first call that anybody told us of, in
// whatever order they were told.
func TestEarliestTimeOfAGrantCounts(t *testing.T) {
	g, at := newGrants(64), time.UnixMilli(1_762_848_000_000)
	for _, since := range []time.Time{at, at.Add(-time.Hour), at.Add(time.Hour)} {
		g.note("id", since)
	}
	since, known := g.since(&task{request: schemas.Request{RequestID: "id"}})
	require.True(t, known)
	require.Equal(t, at.Add(-time.Hour), since)
	_, known = g.since(&task{request: schemas.Request{RequestID: "other"}})
	require.False(t, known)
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
			g := newGrants(64)
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

// What is read back of long ago takes no place of what was called here a moment ago.
func TestOlderRecordTakesNoPlaceOfANewer(t *testing.T) {
	at := time.UnixMilli(1_762_848_000_000)
	g := newGrants(1)
	knows := func(id string) bool {
		_, known := g.since(&task{request: schemas.Request{RequestID: id}, record: &kgo.Record{}})
		return known
	}
	g.note("new", at)
	g.noteRecord(earlier{requestID: "old", origin: "store/0/1", since: at.Add(-time.Minute)})
	require.True(t, knows("new"))
	g.noteRecord(earlier{requestID: "newer", origin: "store/0/2", since: at.Add(time.Minute)})
	require.True(t, knows("newer"))
	g.note("newest", at)
	require.True(t, knows("newest"))
}

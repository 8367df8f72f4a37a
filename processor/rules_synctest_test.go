//go:build synctests

package processor

import (
	"bytes"
	"context"
	"hash/fnv"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// owners notes which goroutines poll and produce.
type owners struct {
	mu         sync.Mutex
	goroutines map[string]int
}

func (o *owners) note() {
	stack := make([]byte, 64)
	id := string(bytes.Fields(stack[:runtime.Stack(stack, false)])[1])
	o.mu.Lock()
	defer o.mu.Unlock()
	o.goroutines[id]++
}

func (o *owners) OnPollStart(context.Context)         { o.note() }
func (o *owners) OnProduceRecordBuffered(*kgo.Record) { o.note() }

func TestSessionOwnsTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		o := &owners{goroutines: map[string]int{}}
		s := newShop(t, 2, takes(20*time.Millisecond, &calls))
		r := s.start(s.config("r1"), func(l *line) { l.hooks = []kgo.Hook{o} })
		s.spread("id", 50, 2)
		s.settled(50)
		require.NoError(t, r.stopped())
		require.Len(t, o.goroutines, 1, "one goroutine polls and produces")
		for _, n := range o.goroutines {
			require.Greater(t, n, 50)
		}
	})
}

// erratic takes from nothing to three seconds, always the same for one request.
func erratic(r *http.Request) (*http.Response, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(outID(r)))
	time.Sleep(time.Duration(h.Sum32()%3000) * time.Millisecond)
	return granted(1), nil
}

func TestCommitCoversExactlyItsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 2, always(erratic))
		r := s.start(s.config("r1"))
		s.spread("id", 60, 2)
		for len(s.allEnds()) < 60 {
			before := s.covered(2)
			ended := ids(s.allEnds())
			after := s.covered(2)
			for source := range before {
				require.Contains(t, ended, source, "covered by the commit, but without an end")
			}
			for source, n := range ended {
				require.Equal(t, 1, n)
				require.Contains(t, after, source, "ended, but not covered by the commit")
			}
			time.Sleep(50 * time.Millisecond)
		}
		require.NoError(t, r.stopped())
	})
}

// covered lists the sources below the watermarks and in the finished sets.
func (s *shop) covered(partitions int32) map[string]bool {
	sources := map[string]bool{}
	for number := range partitions {
		p := partition{s.topics.Store, number}
		offset, meta := s.position("coupongrant", p)
		for o := range offset {
			sources[p.String()+"/"+strconv.FormatInt(o, 10)] = true
		}
		for _, o := range meta.position.finished {
			sources[p.String()+"/"+strconv.FormatInt(o, 10)] = true
		}
	}
	return sources
}

// A successor knows from the commit metadata which records above the watermark
// have their ends: it neither calls for them nor ends them again.
func TestFinishedSetSurvivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const others = 20
		var released atomic.Bool
		var mu sync.Mutex
		calls := map[string]int{}
		s := newShop(t, 1, always(func(r *http.Request) (*http.Response, error) {
			id := outID(r)
			mu.Lock()
			calls[id]++
			mu.Unlock()
			if id == "hangs" && !released.Load() {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return granted(1), nil
		}))
		first := s.start(s.config("r1"))
		s.produce(0, nil, s.request("hangs"))
		s.produce(0, nil, s.requests("other", others)...)
		onceEach(t, others, s.settled(others))
		watermark, _ := s.position("coupongrant", partition{s.topics.Store, 0})
		require.Zero(t, watermark, "the first must still be without an end")

		first.killed()
		released.Store(true)
		second := s.start(s.config("r1"))

		onceEach(t, others+1, s.settled(others+1))
		require.NoError(t, second.stopped())
		mu.Lock()
		defer mu.Unlock()
		for id, n := range calls {
			if id != "hangs" {
				require.Equal(t, 1, n, "calls for %s", id)
			}
		}
		require.GreaterOrEqual(t, calls["hangs"], 2)
	})
}

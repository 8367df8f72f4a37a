package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fault is something that goes wrong around the program, and what it must say of
// it: in /readyz, in what the console shows, and in a metric.
type fault struct {
	name   string
	flags  []string
	cold   bool              // it is there from the start: no request is granted before
	begin  func(r *troubled) // what goes wrong; of a cold one before the start
	sends  int               // requests that then wait; 0: none, as nobody can send any
	silent bool              // no answer shows it
	says   string            // a regular expression
	metric string            // likewise
	ready  bool              // it is told of a partition, and the replica goes on with the others
	mend   func(r *troubled) // as the sentence says
	refuse bool              // the mend ends what waited without a grant
}

const (
	answerShows = 5 * time.Second // after the fault, and after its mend
	callTimeout = 2 * time.Second // of the programs here
	silenceTold = callTimeout + answerShows
)

var ourTopics = defaultConfig().Processor.Topics

func faults() []fault {
	return slices.Concat(gatewayFaults(), appFaults(), clusterFaults())
}

// Each fault is told within seconds, in /readyz, in what the console shows and in
// a metric, with the sentence that names the mend; and it is gone within seconds of
// the mend. What waited meanwhile is granted, once.
func TestEachFaultIsToldAndGoneWhenMended(t *testing.T) {
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r := newTroubled(t)
			if f.cold {
				f.begin(r)
			} else {
				r.ready()
			}
			r.begin(append(f.flags, "--gateway.timeout", callTimeout.String())...)
			if !f.cold {
				r.granted("first")
				f.begin(r)
			}
			held := r.sendHeld(f.sends) // before that no answer shows it, nor silence
			began, within := time.Now(), answerShows
			if f.silent {
				within = silenceTold
			}
			r.tells(f, within)
			t.Logf("told after %s", time.Since(began).Round(10*time.Millisecond))

			f.mend(r)
			mended := time.Now()
			r.isOver(f)
			t.Logf("gone after %s", time.Since(mended).Round(10*time.Millisecond))
			if f.refuse {
				return
			}
			r.granted("after")
			r.eventually(answerShows, func() bool {
				return !slices.ContainsFunc(held, func(id string) bool { return r.sim.Ledger().Grants(id) == 0 })
			})
			for _, id := range held {
				require.Equal(t, 1, r.sim.Ledger().Grants(id), id)
			}
			r.nobodyFailed()
		})
	}
}

// sendHeld sends requests at once and returns their ids.
func (r *troubled) sendHeld(n int) (ids []string) {
	var lines []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("held-%d", i))
		lines = append(lines, requestOf(ids[i]))
	}
	if n > 0 {
		got := r.run(strings.Join(lines, "\n"), "produce")
		require.Equal(r, exitDone, got.code, got.stderr)
	}
	return ids
}

// tells waits until the fault is told in all three places.
func (r *troubled) tells(f fault, within time.Duration) {
	r.Helper()
	want := http.StatusServiceUnavailable
	if f.ready {
		want = http.StatusOK
	}
	var seen string
	r.eventually(within, func() bool {
		code, ready := r.get("/readyz")
		_, shown := r.get("/api/status")
		_, metrics := r.get("/metrics")
		seen = fmt.Sprint(code, " ", ready, shown)
		return code == want && says(ready, f.says) && says(shown, f.says) && regexp.MustCompile(f.metric).MatchString(metrics)
	}, &seen)
}

// isOver waits until nothing waits any more, nor is said to.
func (r *troubled) isOver(f fault) {
	r.Helper()
	var seen string
	r.eventually(answerShows, func() bool {
		code, ready := r.get("/readyz")
		_, shown := r.get("/api/status")
		_, metrics := r.get("/metrics")
		seen = fmt.Sprint(code, " ", ready, shown)
		return code == http.StatusOK && !says(ready, f.says) && !says(shown, f.says) && !regexp.MustCompile(f.metric).MatchString(metrics)
	}, &seen)
}

// says looks into the strings of a JSON answer.
func says(answer, sentence string) bool {
	var whole any
	if json.Unmarshal([]byte(answer), &whole) != nil {
		return false
	}
	var texts []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			texts = append(texts, v)
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(whole)
	pattern := regexp.MustCompile(sentence)
	return slices.ContainsFunc(texts, pattern.MatchString)
}

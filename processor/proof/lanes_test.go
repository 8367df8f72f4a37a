//go:build chaos || apart

package proof_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lane is the requests of one key of one partition, in offset order, each once.
type lane struct {
	name   string
	ids    []string
	parked map[string]bool // those leave their lane

	// A request that was parked before anybody called it has left its lane
	// without a first attempt: when it was.
	leftUncalled map[string]time.Time

	// An owner whose clock says that a request has expired ends it without an
	// attempt. Should it die before that is committed, the next owner may find
	// the request in doubt, and then must call it, after later ones.
	hurried map[string]bool
}

func newLane(name string) *lane {
	return &lane{name: name, parked: map[string]bool{}, leftUncalled: map[string]time.Time{}, hurried: map[string]bool{}}
}

func (l *lane) add(event sent, parked []parking) {
	id := event.requestID
	if _, known := l.parked[id]; !known {
		l.ids = append(l.ids, id)
	}
	l.parked[id] = l.parked[id] || len(parked) > 0
	if len(parked) > 0 && parked[0].uncalled {
		l.leftUncalled[id] = parked[0].at
	}
	l.hurried[id] = event.hurried
}

// story tells all attempts for a request.
func (l *lane) story(id string, made []*call) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (parked: %t)", id, l.parked[id])
	for _, c := range made {
		fmt.Fprintf(&b, " %s %s-%s", c.caller.name, c.began.UTC().Format(clock), c.over.UTC().Format(clock))
	}
	return b.String()
}

// overlaps of two attempts of one lane.
type overlaps struct{ processes, assignments int }

// checkLanes: first attempts start in offset order, and two attempts of a lane
// are under way at once only when the partition changed hands in between.
//
// What its caller gives up after timeout is over then: the proxy that notes the
// calls sees the connection close a little later.
func checkLanes(lanes map[string]*lane, calls []*call, timeout time.Duration, found *findings) overlaps {
	byID := map[string][]*call{}
	for _, c := range calls {
		byID[c.outID] = append(byID[c.outID], c)
	}
	var all overlaps
	for _, l := range lanes {
		l.checkOrder(byID, found)
		l.checkOverlaps(byID, timeout, found, &all)
	}
	return all
}

func (l *lane) checkOrder(byID map[string][]*call, found *findings) {
	var last time.Time
	var of string
	for _, id := range l.ids {
		made := byID[id]
		if len(made) == 0 || l.hurried[id] || l.leftBefore(id, made[0]) {
			continue
		}
		if first := made[0].began; first.Before(last) {
			found.add("lane order", "in %s the first attempt for %s came before that for %s: %s; %s",
				l.name, id, of, l.story(id, made), l.story(of, byID[of]))
		} else {
			last, of = first, id
		}
	}
}

// leftBefore says that a request had left its lane before its first attempt.
func (l *lane) leftBefore(id string, first *call) bool {
	left, ok := l.leftUncalled[id]
	return ok && !first.began.Before(left)
}

// noticed is how long before us a caller may have begun to wait: it has when it writes, and
// we have read.
const noticed = 10 * time.Millisecond

func (l *lane) checkOverlaps(byID map[string][]*call, timeout time.Duration, found *findings, all *overlaps) {
	var made []*call
	for _, id := range l.ids {
		if !l.parked[id] {
			made = append(made, byID[id]...)
		}
	}
	slices.SortFunc(made, func(a, b *call) int { return cmp.Compare(a.began.UnixNano(), b.began.UnixNano()) })
	for i := 1; i < len(made); i++ {
		before, after := made[i-1], made[i]
		switch {
		case !before.over.IsZero() && !after.began.Before(before.over):
		case !after.began.Before(before.began.Add(timeout - noticed)): // given up
		case before.caller != after.caller:
			all.processes++
		case before.caller.tookOver(before.began, after.began):
			all.assignments++
		default:
			found.add("lane overlap", "in %s two attempts at once: %s; %s",
				l.name, l.story(before.outID, byID[before.outID]), l.story(after.outID, byID[after.outID]))
		}
	}
}

func TestOverlapIsOfCallsThatTheCallerStillWaitsFor(t *testing.T) {
	at := func(d time.Duration) time.Time { return time.Unix(0, 0).Add(d) }
	caller := &member{name: "a"}
	for _, row := range []struct {
		firstOver, secondBegan time.Duration
		overlap                bool
	}{
		{time.Second, time.Second, false},
		{time.Second, 900 * time.Millisecond, true},
		{2005 * time.Millisecond, 2001 * time.Millisecond, false}, // given up, and noticed late
		{2005 * time.Millisecond, 1995 * time.Millisecond, false},
		{2005 * time.Millisecond, 1985 * time.Millisecond, true},
	} {
		l, found := newLane("lane"), &findings{}
		l.add(sent{requestID: "x"}, nil)
		l.add(sent{requestID: "y"}, nil)
		checkLanes(map[string]*lane{"lane": l}, []*call{
			{outID: "x", caller: caller, began: at(0), over: at(row.firstOver)},
			{outID: "y", caller: caller, began: at(row.secondBegan), over: at(row.secondBegan + time.Millisecond)},
		}, 2*time.Second, found)
		require.Equal(t, row.overlap, len(found.totals()) > 0, row)
	}
}

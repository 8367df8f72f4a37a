//go:build chaos

package proof_test

import (
	"cmp"
	"slices"
	"time"
)

// lane is the requests of one key of one partition, in offset order, each once.
type lane struct {
	name   string
	ids    []string
	parked map[string]bool // those leave their lane
}

func (l *lane) add(id string, parked bool) {
	if l.parked == nil {
		l.parked = map[string]bool{}
	}
	if _, known := l.parked[id]; !known {
		l.ids = append(l.ids, id)
	}
	l.parked[id] = l.parked[id] || parked
}

// overlaps of two attempts of one lane.
type overlaps struct{ processes, assignments int }

// checkLanes: first attempts start in offset order, and two attempts of a lane
// are under way at once only when the partition changed hands in between.
func checkLanes(lanes map[string]*lane, calls []*call, found *findings) overlaps {
	byID := map[string][]*call{}
	for _, c := range calls {
		byID[c.outID] = append(byID[c.outID], c)
	}
	var all overlaps
	for _, l := range lanes {
		l.checkOrder(byID, found)
		l.checkOverlaps(byID, found, &all)
	}
	return all
}

func (l *lane) checkOrder(byID map[string][]*call, found *findings) {
	var last time.Time
	var of string
	for _, id := range l.ids {
		made := byID[id]
		if len(made) == 0 {
			continue // expired, or no request at all
		}
		if first := made[0].began; first.Before(last) {
			found.add("lane", "in %s the first attempt for %s came before that for %s", l.name, id, of)
		} else {
			last, of = first, id
		}
	}
}

func (l *lane) checkOverlaps(byID map[string][]*call, found *findings, all *overlaps) {
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
		case before.caller != after.caller:
			all.processes++
		case before.caller.tookOver(before.began, after.began):
			all.assignments++
		default:
			found.add("lane", "in %s two attempts at once by %s, for %s and %s", l.name, after.caller.name, before.outID, after.outID)
		}
	}
}

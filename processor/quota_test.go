package processor

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// testQuota is of a replica that is in the group for long enough.
func testQuota(fleet float64) *quota {
	l := newLease(1000 * time.Hour)
	l.answered(time.Now())
	return newQuota(fleet, 0, l, newHolds(discard, func(string, int) {}))
}

// takenIn takes for a while what there is to take, waiting as it is told.
func takenIn(q *quota, d time.Duration) (n int) {
	end := time.Now().Add(d)
	for time.Now().Before(end) {
		wait, ok := q.Take(time.Now())
		if ok {
			n++
			continue
		}
		time.Sleep(min(wait, time.Until(end)))
	}
	return n
}

func TestQuotaIsTheShareOfThePartitionsHeld(t *testing.T) {
	for name, row := range map[string]struct{ held, all, want float64 }{
		"all of them":            {12, 12, 1000},
		"a quarter":              {3, 12, 250},
		"one of many":            {1, 100, 10},
		"one of the retry topic": {1.0 / 8, 17, 7},
		"more than were counted": {12, 6, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := testQuota(100)
				q.SetShare(row.held, row.all)
				takenIn(q, time.Second) // what it started with
				require.InDelta(t, row.want, takenIn(q, 10*time.Second), 2)
			})
		})
	}
}

// The gateway counts by the second.
func TestQuotaMakesNoBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := testQuota(100)
		q.SetShare(1, 1)
		time.Sleep(time.Hour) // nothing is saved up
		require.LessOrEqual(t, takenIn(q, time.Second), 105)
		q.SetShare(1, 200)
		time.Sleep(time.Hour)
		_, first := q.Take(time.Now())
		_, second := q.Take(time.Now())
		require.True(t, first && !second, "of the smallest share one call is saved up")
	})
}

func TestQuotaFollowsTheShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := testQuota(100)
		q.SetShare(1, 1)
		takenIn(q, time.Second)
		q.SetShare(1, 10)
		require.InDelta(t, 100, takenIn(q, 10*time.Second), 6)
		q.SetShare(1, 2)
		require.InDelta(t, 500, takenIn(q, 10*time.Second), 3)
	})
}

func TestNoRateIsNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := testQuota(0)
		q.SetShare(0, 12)
		for range 10000 {
			_, ok := q.Take(time.Now())
			require.True(t, ok)
		}
	})
}

func TestReplicaWithoutPartitionsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := testQuota(1000)
		require.LessOrEqual(t, takenIn(q, time.Hour), 1)
		q.SetShare(1, 1)
		require.Greater(t, takenIn(q, time.Second), 900, "it goes on at once")
	})
}

// To be told to wait costs nothing: who asks often gets no less.
func TestQuotaThatIsNotTakenIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := testQuota(10)
		q.SetShare(1, 1)
		n := 0
		for range 10_000 { // ten seconds
			if _, ok := q.Take(time.Now()); ok {
				n++
			}
			time.Sleep(time.Millisecond)
		}
		require.InDelta(t, 100, n, 2)
	})
}

package processor

import (
	"fmt"
	"time"

	"github.com/coupongrant/coupongrant/topclient"
)

// budget is this replica's share of the calls that the fleet may make in one day
// of the gateway's, which begins at midnight in Beijing. It comes in evenly over
// the day and can be saved up, but not into the next. Nobody remembers what was
// called before: who starts, or gets a partition, has nothing saved up for it. So
// the calls of a day keep within the budget whoever crashes, starts and takes over,
// as each moment of each partition is counted by one replica at most; what a
// replica had saved up is lost with it. The scheduler goroutine owns it.
type budget struct {
	fleet float64 // calls a day; 0: no limit
	share float64 // of them, ours
	saved float64 // calls that can be made now
	at    time.Time
	short time.Time // since when calls wait for it; zero: they do not, or for a moment
}

const day = 24 * time.Hour

// midnight is when the day of a moment began.
func midnight(at time.Time) time.Time {
	year, month, date := at.In(topclient.Zone).Date()
	return time.Date(year, month, date, 0, 0, 0, 0, topclient.Zone)
}

// reckon adds what has come in since it was last done, which is once a second: a
// longer time is one in which this process was stopped. known is how long our share
// was known to be ours.
func (b *budget) reckon(now, known time.Time) {
	from := b.at
	if today := midnight(now); from.Before(today) {
		b.saved, from = 0, today
	}
	b.at = now
	if known.Before(now) {
		now = known
	}
	if passed := now.Sub(from); passed > 0 && passed < longestTick {
		b.saved += b.pace() * passed.Seconds()
	}
}

// pace is what comes in, calls a second.
func (b *budget) pace() float64 { return b.fleet * b.share / day.Seconds() }

// wait is how long it takes until a call can be made.
func (b *budget) wait() time.Duration {
	if b.fleet <= 0 || b.saved >= 1 {
		return 0
	}
	if b.share <= 0 {
		return idle
	}
	return time.Duration((1 - b.saved) / b.pace() * float64(time.Second))
}

// lasts notes that a call has to wait, and says that it does so for longer than a
// moment. Who has just started has nothing saved up, and calls wait for the first to
// come in; of a budget that is large enough that is milliseconds.
func (b *budget) lasts(now time.Time, wait time.Duration) bool {
	if b.short.IsZero() {
		b.short = now
	}
	return wait >= patience || now.Sub(b.short) >= patience
}

// look, once a second, sees that more comes in than is called for.
func (b *budget) look() {
	if b.saved >= 1+b.pace()*patience.Seconds()/2 {
		b.short = time.Time{}
	}
}

// plenty says that calls have not waited for it for a minute, or will not.
func (b *budget) plenty() bool { return b.share <= 0 || b.saved >= 1+b.pace()*time.Minute.Seconds() }

func (b *budget) hold(now time.Time) string {
	return fmt.Sprintf("gateway.daily_budget (%.0f calls) is used up as far as it reaches by this hour: calls go on at its pace, %.3g a second of the fleet, and another day begins at midnight in Beijing (%s); raise it if the app has more",
		b.fleet, b.fleet/day.Seconds(), midnight(now).Add(day).UTC().Format(time.RFC3339))
}

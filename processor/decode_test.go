package processor

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/topclient"
)

// A record on the retry topic need not be ours, nor its clock like ours.
func TestHeadersOfParkedRecordsAreNotTrustedFar(t *testing.T) {
	longest := strings.Repeat("t", 249)
	for name, row := range map[string]struct {
		key, value string
		want       func(*task)
	}{
		"no header":               {"other", "x", func(*task) {}},
		"due soon":                {headerNextAt, "2000-01-01T00:00:30Z", func(r *task) { r.due = time.Now().Add(30 * time.Second) }},
		"due in the next century": {headerNextAt, "2100-01-01T00:00:00Z", func(r *task) { r.due = time.Now().Add(time.Minute) }},
		"due at no time":          {headerNextAt, "soon", func(*task) {}},
		"attempts":                {headerAttempts, "3", func(r *task) { r.attempts = 3 }},
		"fewer than no attempts":  {headerAttempts, "-3", func(*task) {}},
		"attempts beyond count":   {headerAttempts, "99999999999999999999", func(*task) {}},
		"in doubt":                {headerInDoubt, "true", func(r *task) { r.inDoubt, r.firstCall = true, r.record.Timestamp }},
		"not in doubt":            {headerInDoubt, "false", func(*task) {}},
		"first attempt":           {headerFirstAttempt, "1999-12-31T00:00:00Z", func(r *task) { r.firstCall = time.Now().Add(-24 * time.Hour) }},
		"first attempt to come":   {headerFirstAttempt, "2000-01-02T00:00:00Z", func(r *task) { r.firstCall = r.record.Timestamp }},
		"first attempt unknown":   {headerFirstAttempt, "yesterday", func(*task) {}},
		"waited":                  {headerWaited, "30m0s", func(*task) {}}, // with no first attempt there was nothing to wait for
		"source":                  {headerSource, "store/1/2", func(r *task) { r.source = "store/1/2" }},
		"empty source":            {headerSource, "", func(*task) {}},
		"source of the longest":   {headerSource, longest + "/1/2", func(r *task) { r.source = longest + "/1/2" }},
		"source too long":         {headerSource, strings.Repeat("x", maxSourceBytes+1), func(*task) {}},
		"source of no characters": {headerSource, "a\x00/1/2", func(*task) {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the year 2000 begins
				a := assignment{partition{"retry", 0}, 1}
				record := &kgo.Record{Offset: 9, Timestamp: time.Now(), Headers: []kgo.RecordHeader{{Key: row.key, Value: []byte(row.value)}}}
				want := &task{assignment: a, offset: 9, record: record, source: "retry/0/9"}
				row.want(want)
				got := newTask(a, record, "retry", time.Minute)
				require.True(t, want.due.Equal(got.due))
				require.True(t, want.firstCall.Equal(got.firstCall))
				got.due, got.firstCall = want.due, want.firstCall
				require.Equal(t, want, got)
			})
		})
	}
}

// What it says to have waited counts to the last of retry.give_up_after: no more
// than there was time for, and nothing that cannot be read.
func TestWaitOfParkedRecordsIsNotTrustedFar(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"":                      0,
		"0s":                    0,
		"90m0.5s":               90*time.Minute + time.Second/2,
		"-5m":                   0,
		"5":                     0,
		"soon":                  0,
		"9999999999h":           0, // beyond what a duration can be
		"25h":                   24 * time.Hour,
		"2540400h10m10.000000s": 24 * time.Hour,
	} {
		t.Run(value, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the year 2000 begins
				record := &kgo.Record{Timestamp: time.Now(), Headers: []kgo.RecordHeader{
					{Key: headerFirstAttempt, Value: []byte("1999-12-31T00:00:00Z")}, {Key: headerWaited, Value: []byte(value)},
				}}
				require.Equal(t, want, newTask(assignment{partition{"retry", 0}, 1}, record, "retry", time.Minute).waited)
				require.Zero(t, newTask(storeAssignment(1), record, "retry", time.Minute).waited, "on an input it says nothing")
			})
		})
	}
}

// Who was called before it was parked, and left in doubt, is not asked as often again;
// who was parked behind others, or was in doubt before anybody called here, is.
func TestBackInDoubtIsWhoWasCalledBeforeItWasParked(t *testing.T) {
	for name, row := range map[string]struct {
		attempts, inDoubt string
		want              bool
	}{
		"called, in doubt": {"5", "true", true},
		"called, refused":  {"5", "false", false},
		"parked behind":    {"0", "false", false},
		"in doubt only":    {"0", "true", false},
	} {
		t.Run(name, func(t *testing.T) {
			got := newTask(assignment{partition{"retry", 0}, 1}, &kgo.Record{Headers: []kgo.RecordHeader{
				{Key: headerAttempts, Value: []byte(row.attempts)}, {Key: headerInDoubt, Value: []byte(row.inDoubt)},
			}}, "retry", time.Minute)
			require.Equal(t, row.want, got.backInDoubt)
		})
	}
}

// On an input topic only doubt is believed, which costs caution and not truth.
func TestHeadersOfRequestsCanOnlyAddDoubt(t *testing.T) {
	a := storeAssignment(1)
	got := newTask(a, &kgo.Record{Offset: 9, Headers: []kgo.RecordHeader{
		{Key: headerSource, Value: []byte("elsewhere/0/0")},
		{Key: headerAttempts, Value: []byte("7")},
		{Key: headerNextAt, Value: []byte("2100-01-01T00:00:00Z")},
		{Key: headerInDoubt, Value: []byte("true")},
	}}, "retry", time.Minute)
	require.Equal(t, "store/0/9", got.source)
	require.Zero(t, got.attempts)
	require.True(t, got.due.IsZero())
	require.True(t, got.inDoubt)
	require.False(t, got.backInDoubt)
}

// A wall clock that is set puts off no call: what is waited for goes by the monotonic
// one.
func TestWhatIsWaitedForGoesByTheMonotonicClock(t *testing.T) {
	record := &kgo.Record{Timestamp: time.Now(), Headers: []kgo.RecordHeader{
		{Key: headerNextAt, Value: []byte(time.Now().Add(30 * time.Second).UTC().Format(time.RFC3339))},
	}}
	due := newTask(assignment{partition{"retry", 0}, 1}, record, "retry", time.Minute).due
	require.Contains(t, due.String(), " m=", "a parked request has lost its monotonic reading")

	a, cfg := storeAssignment(1), DefaultConfig()
	s := &scheduler{
		cfg: cfg, policy: policy{cfg: cfg}, gate: &gate{guard: &guard{}}, holds: newHolds(slog.New(slog.DiscardHandler), func(string, int) {}),
		supplies: map[assignment]*supply{a: newSupply(a, 100)}, turns: newTurns(10, cfg.Topics), lanes: lanes{}, reports: newMailbox[report](newBell()),
	}
	refused := answered{err: &topclient.Error{About: topclient.AboutApp, Code: "31"}, at: time.Now()}
	s.conclude(keyed(a, 1), verdict{action: actPause, wait: probeApp}, refused)
	s.conclude(keyed(a, 2), verdict{action: actRetry, wait: 5 * time.Second}, answered{})
	for what, at := range map[string]time.Time{"probe": s.gate.nextProbe, "retry": s.timers.tasks[0].due} {
		require.Contains(t, at.String(), " m=", what)
	}
}

package processor

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupongrant/coupongrant/breaker"
	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

var policyNow = time.Date(2026, 11, 11, 12, 0, 0, 0, time.UTC)

func testPolicy() policy { return policy{cfg: DefaultConfig()} }

// answers are one of each kind that the policy tells apart.
func answers() map[string]*topclient.Error {
	business := func(code string) *topclient.Error {
		return &topclient.Error{About: topclient.AboutRequest, Code: code, Business: code, Sent: true}
	}
	system := business(topclient.BusinessSystemError)
	system.MayHaveGranted = true
	return map[string]*topclient.Error{
		"granted":              nil,
		"given up by us":       {About: topclient.AboutUnknown, Canceled: true, MayHaveGranted: true, Code: topclient.CodeCanceled},
		"throttled":            {About: topclient.AboutGateway, Throttled: true, Code: "7", RetryAfter: 3 * time.Second},
		"app refused":          {About: topclient.AboutApp, Code: "25"},
		"nobody listens":       {About: topclient.AboutGateway, Code: topclient.CodeRefused},
		"timed out":            {About: topclient.AboutGateway, MayHaveGranted: true, Code: topclient.CodeTimeout, Sent: true},
		"not understood":       {About: topclient.AboutUnknown, MayHaveGranted: true, Code: "4711"},
		"system exception":     system,
		"limit reached":        business(topclient.BusinessLimitReached),
		"out of stock":         business(topclient.BusinessOutOfStock),
		"coupon invalid":       business(topclient.BusinessCouponInvalid),
		"business exception":   business(topclient.BusinessException),
		"refused as it stands": {About: topclient.AboutRequest, Code: "15", SubCode: "isv.invalid-parameter"},
		"id refused":           {About: topclient.AboutRequest, Code: "41", RefusesID: true},
	}
}

// inWords is a verdict's action, or the reason of a failure or a dead letter.
func inWords(v verdict) string {
	words := map[action]string{
		actGrant: "grant", actFail: "fail", actRetry: "retry", actBan: "ban",
		actPause: "pause", actPark: "park", actDeadLetter: string(v.reason),
	}
	if v.action == actFail {
		return string(v.failure)
	}
	return words[v.action]
}

func TestPolicy(t *testing.T) {
	situations := []situation{
		{},
		{often: true},
		{inDoubt: true},
		{inDoubt: true, often: true},
		{inDoubt: true, often: true, parked: true, waited: time.Hour},
		{inDoubt: true, often: true, parked: true, waited: 12 * time.Hour},
	}
	all := func(word string) []string { return slices.Repeat([]string{word}, len(situations)) }
	open := []string{"retry", "park", "retry", "park", "park", "grant-unknown"}
	refused := func(reason string) []string {
		return []string{reason, reason, "retry", "park", "park", "grant-unknown"}
	}
	for name, want := range map[string][]string{
		// First attempt, often; in doubt: first, often; parked: for long, for too long.
		"granted":              all("grant"),
		"given up by us":       all("retry"),
		"throttled":            all("ban"),
		"app refused":          all("pause"),
		"nobody listens":       all("retry"),
		"timed out":            all("retry"),
		"not understood":       open,
		"system exception":     open,
		"limit reached":        refused("LIMIT_REACHED"),
		"out of stock":         refused("OUT_OF_STOCK"),
		"coupon invalid":       refused("COUPON_INVALID"),
		"refused as it stands": refused("REJECTED"),
		"id refused":           refused("conflicting-request"),
		"business exception":   {"retry", "BUSINESS_EXCEPTION", "retry", "park", "park", "grant-unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			for i, at := range situations {
				v := testPolicy().on(answers()[name], at)
				require.Equal(t, want[i], inWords(v), "%+v", at)
				require.Equal(t, v.action == actDeadLetter, v.detail != "", "%+v", at)
				require.GreaterOrEqual(t, v.wait, time.Duration(0), "%+v", at)
				require.LessOrEqual(t, v.wait, time.Minute, "%+v", at)
			}
		})
	}
}

// retry.refusal_in_doubt: fail trusts the gateway to recognise a repeat before
// it refuses. It does not turn silence into a refusal.
func TestRefusalInDoubtCanBeTrusted(t *testing.T) {
	p := testPolicy()
	p.cfg.Retry.RefusalInDoubt = FailRefusal
	for name, want := range map[string]string{
		"granted":              "grant",
		"timed out":            "retry",
		"not understood":       "park",
		"system exception":     "park",
		"limit reached":        "LIMIT_REACHED",
		"out of stock":         "OUT_OF_STOCK",
		"coupon invalid":       "COUPON_INVALID",
		"refused as it stands": "REJECTED",
		"id refused":           "conflicting-request",
		"business exception":   "BUSINESS_EXCEPTION",
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, want, inWords(p.on(answers()[name], situation{often: true, inDoubt: true})))
		})
	}
}

func TestCapsOfAttemptsAreCountedToTheLast(t *testing.T) {
	for name, row := range map[string]struct {
		answer string
		task   task
		want   []string
	}{
		"business exception":   {"business exception", task{}, []string{"retry", "retry", "BUSINESS_EXCEPTION"}},
		"not understood":       {"not understood", task{}, []string{"retry", "retry", "retry", "retry", "park"}},
		"found in doubt":       {"limit reached", task{inDoubt: true}, []string{"retry", "retry", "retry", "retry", "park"}},
		"back in doubt":        {"not understood", task{inDoubt: true, backInDoubt: true}, []string{"park"}},
		"back, and refused":    {"limit reached", task{inDoubt: true, backInDoubt: true}, []string{"park"}},
		"back, nobody listens": {"nobody listens", task{inDoubt: true, backInDoubt: true}, slices.Repeat([]string{"retry"}, 20)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, word := range row.want {
				tally(&row.task, answers()[row.answer])
				require.Equal(t, word, inWords(testPolicy().next(answers()[row.answer], &row.task, row.task.backInDoubt)))
			}
		})
	}
}

// What the gateway or our app is in for costs a request nothing but time.
func TestTroubleOfOthersIsNotHeldAgainstARequest(t *testing.T) {
	for _, name := range []string{"granted", "given up by us", "throttled", "app refused", "nobody listens", "timed out"} {
		t.Run(name, func(t *testing.T) {
			r := &task{inDoubt: true}
			tally(r, answers()[name])
			require.Zero(t, r.doubtful)
			require.Zero(t, r.business)
		})
	}
}

func TestDoubtOfAnAnswerStays(t *testing.T) {
	for name, answer := range answers() {
		t.Run(name, func(t *testing.T) {
			r := &task{}
			tally(r, answer)
			require.Equal(t, answer != nil && answer.MayHaveGranted, r.inDoubt)
			tally(r, answers()["limit reached"])
			require.Equal(t, answer != nil && answer.MayHaveGranted, r.inDoubt)
		})
	}
}

func TestBanLasts(t *testing.T) {
	told := &topclient.Error{About: topclient.AboutGateway, Throttled: true, RetryAfter: 17 * time.Second}
	require.Equal(t, 17*time.Second, testPolicy().on(told, situation{}).wait)

	told.RetryAfter = 0
	require.LessOrEqual(t, testPolicy().on(told, situation{}).wait, time.Minute)
	require.Greater(t, testPolicy().on(told, situation{}).wait, 44*time.Second)
}

// A timestamp may be refused for a clock that was set a moment ago. Twice in a
// row is the app's trouble.
func TestTimestampIsSignedAnewOnce(t *testing.T) {
	for _, code := range []string{"30", "31"} {
		t.Run(code, func(t *testing.T) {
			answer := &topclient.Error{About: topclient.AboutApp, Code: code}
			r := &task{}
			first := testPolicy().next(answer, r, false)
			require.Equal(t, "retry", inWords(first))
			require.Zero(t, first.wait)
			r.lastAnswer = answer
			second := testPolicy().next(answer, r, false)
			require.Equal(t, "pause", inWords(second))
			require.Equal(t, probeApp, second.wait)
		})
	}
}

func TestBackoffDoublesAndIsJittered(t *testing.T) {
	for attempts, want := range map[int]time.Duration{
		-1: 200 * time.Millisecond, 0: 200 * time.Millisecond, 1: 200 * time.Millisecond,
		2: 400 * time.Millisecond, 5: 3200 * time.Millisecond,
		6: 5 * time.Second, 33: 5 * time.Second, math.MaxInt: 5 * time.Second,
	} {
		least, most := time.Hour, time.Duration(0)
		for range 500 {
			wait := testPolicy().backoff(attempts)
			least, most = min(least, wait), max(most, wait)
		}
		require.GreaterOrEqual(t, least, want/2, "after %d attempts", attempts)
		require.LessOrEqual(t, most, want, "after %d attempts", attempts)
		require.Greater(t, most-least, want/4, "after %d attempts: no jitter", attempts)
	}
}

func TestBeforeCall(t *testing.T) {
	ago := func(d time.Duration) time.Time { return policyNow.Add(-d) }
	for name, row := range map[string]struct {
		expiresAt, occurredAt, recordAt, firstCall time.Time
		inDoubt                                    bool
		want                                       string // empty: it may be called
	}{
		"never expires":                          {occurredAt: ago(23 * time.Hour)},
		"expires in a moment":                    {expiresAt: ago(-time.Millisecond)},
		"expires now":                            {expiresAt: policyNow, want: "EXPIRED"},
		"older than max_age":                     {occurredAt: ago(24 * time.Hour), want: "EXPIRED"},
		"its own time counts for more":           {occurredAt: ago(48 * time.Hour), expiresAt: ago(-time.Hour)},
		"expired in doubt":                       {expiresAt: ago(time.Hour), recordAt: ago(time.Hour), inDoubt: true},
		"too old in doubt":                       {occurredAt: ago(48 * time.Hour), recordAt: ago(time.Hour), inDoubt: true},
		"in doubt to the end of the window":      {recordAt: ago(24 * time.Hour), inDoubt: true},
		"in doubt beyond the window":             {recordAt: ago(24*time.Hour + 1), inDoubt: true, want: "grant-unknown"},
		"first called before the record's time":  {recordAt: ago(time.Hour), firstCall: ago(25 * time.Hour), inDoubt: true, want: "grant-unknown"},
		"first called after the record's time":   {recordAt: ago(25 * time.Hour), firstCall: ago(time.Hour), inDoubt: true},
		"called long ago, without doubt":         {recordAt: ago(25 * time.Hour), firstCall: ago(25 * time.Hour)},
		"expired and in doubt beyond the window": {expiresAt: ago(time.Hour), recordAt: ago(25 * time.Hour), inDoubt: true, want: "grant-unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			p := testPolicy()
			p.cfg.MaxAge = 24 * time.Hour
			if row.occurredAt.IsZero() {
				row.occurredAt = policyNow
			}
			v, ended := p.beforeCall(&task{
				request: schemas.Request{ExpiresAt: row.expiresAt, OccurredAt: row.occurredAt},
				record:  &kgo.Record{Timestamp: row.recordAt}, firstCall: row.firstCall, inDoubt: row.inDoubt,
			}, policyNow)
			require.Equal(t, row.want != "", ended)
			require.Equal(t, v.action == actDeadLetter, v.detail != "")
			require.Equal(t, row.want, map[bool]string{true: inWords(v)}[ended])
		})
	}
}

// A request may wait for longer than the gateway remembers grants before it is called
// at all: its doubt is as old as its first call.
func TestDoubtIsAsOldAsItsFirstCall(t *testing.T) {
	old := func(headers ...kgo.RecordHeader) *task {
		return newTask(assignment{partition{"retry", 0}, 1}, &kgo.Record{Timestamp: policyNow.Add(-25 * time.Hour), Headers: headers}, "retry", time.Minute)
	}
	givenUp := func(r *task, now time.Time) bool {
		_, ended := testPolicy().beforeCall(r, now)
		return ended
	}
	called := old()
	called.remember(schemas.Attempt{At: policyNow})
	called.inDoubt = true
	require.False(t, givenUp(called, policyNow.Add(24*time.Hour)))
	require.True(t, givenUp(called, policyNow.Add(24*time.Hour+1)))

	byAnother := old() // nobody knows when
	byAnother.foundInDoubt()
	require.True(t, givenUp(byAnother, policyNow))
	fromTheFuture := old()
	fromTheFuture.record.Timestamp, fromTheFuture.taken = policyNow.Add(365*24*time.Hour), policyNow
	fromTheFuture.foundInDoubt()
	require.True(t, givenUp(fromTheFuture, policyNow.Add(24*time.Hour+1)), "it was called before it was taken in here")
	said := func(at time.Duration) *task {
		return old(kgo.RecordHeader{Key: headerInDoubt, Value: []byte("true")}, kgo.RecordHeader{Key: headerFirstAttempt, Value: []byte(policyNow.Add(at).Format(time.RFC3339))})
	}
	require.True(t, givenUp(said(-26*time.Hour), policyNow))
	require.True(t, givenUp(said(-time.Hour), policyNow), "a time after the record was written is not believed")
	require.True(t, givenUp(old(kgo.RecordHeader{Key: headerInDoubt, Value: []byte("true")}), policyNow))
}

func TestMaxAgeIsOffByDefault(t *testing.T) {
	_, ended := testPolicy().beforeCall(&task{request: schemas.Request{OccurredAt: time.Unix(0, 0)}}, policyNow)
	require.False(t, ended)
}

func TestOnlyWhoWasCalledWaitsTooLong(t *testing.T) {
	for name, row := range map[string]struct {
		called      bool
		ago, waited time.Duration
		parked      bool
		want        string // empty: it waits on
	}{
		"never called":               {ago: time.Hour},
		"called a moment ago":        {called: true, ago: 29 * time.Second},
		"called half a minute ago":   {called: true, ago: 30 * time.Second, waited: 30 * time.Second, want: "park"},
		"parked before":              {called: true, ago: 30 * time.Second, waited: time.Hour, parked: true, want: "park"},
		"parked before, half a day":  {called: true, ago: 30 * time.Second, waited: 12 * time.Hour, parked: true, want: "grant-unknown"},
		"half a day, but not parked": {called: true, ago: 30 * time.Second, waited: 12 * time.Hour, want: "park"},
	} {
		t.Run(name, func(t *testing.T) {
			const elapsed = 100 * time.Hour
			r := &task{called: row.called, calledAt: elapsed - row.ago, waited: row.waited, inDoubt: true}
			v, over := testPolicy().waitedTooLong(r, row.parked, elapsed)
			require.Equal(t, row.want, map[bool]string{true: inWords(v)}[over])
		})
	}
}

func TestBreakerIsToldOfTheGatewayAlone(t *testing.T) {
	for name, want := range map[string]breaker.Result{
		"granted":              breaker.Success,
		"given up by us":       breaker.Excluded,
		"throttled":            breaker.Excluded,
		"app refused":          breaker.Excluded,
		"nobody listens":       breaker.Failure,
		"timed out":            breaker.Failure,
		"not understood":       breaker.Excluded,
		"system exception":     breaker.Success,
		"limit reached":        breaker.Success,
		"business exception":   breaker.Success,
		"refused as it stands": breaker.Success,
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, want, health(answers()[name]))
		})
	}
}

func TestBackoffOfLongRunningRequestsStaysWithinItsCap(t *testing.T) {
	p := testPolicy()
	p.cfg.Retry.MinBackoff = 5 * time.Second
	for attempts := range 100 {
		require.LessOrEqual(t, p.backoff(attempts), p.cfg.Retry.MaxBackoff)
	}
}

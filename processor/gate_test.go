package processor

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
)

func TestGateIsOpenAtFirst(t *testing.T) {
	_, ok := (&gate{guard: new(guard)}).open(time.Now(), 1000)
	require.True(t, ok)
}

func TestBanClosesTheGateToTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{guard: new(guard)}
		h, _ := loggedHolds()
		until := time.Now().Add(30 * time.Second)
		g.ban(until, h)
		g.ban(until.Add(-10*time.Second), h) // a shorter one does not cut it short
		wait, ok := g.open(time.Now(), 0)
		require.False(t, ok)
		require.Equal(t, 30*time.Second, wait)
		require.Equal(t, []string{"gateway limit"}, named(h.Current()))

		_, ok = g.open(until.Add(-1), 0)
		require.False(t, ok)
		_, ok = g.open(until, 0)
		require.True(t, ok)
	})
}

func TestBanIsOverWhenItsTimeHasPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{guard: new(guard)}
		h, _ := loggedHolds()
		g.ban(time.Now().Add(30*time.Second), h)
		g.ended(nil, h) // of a call that was in flight
		time.Sleep(30*time.Second - 1)
		g.look(time.Now(), h)
		require.Len(t, h.Current(), 1)
		time.Sleep(time.Nanosecond)
		g.look(time.Now(), h)
		require.Empty(t, h.Current())
	})
}

func TestAppInTroubleIsProbedByOneCallNowAndThen(t *testing.T) {
	g := gate{guard: new(guard)}
	h, _ := loggedHolds()
	now := time.Now()
	refused := answers()["app refused"]
	g.pause(refused, now, now.Add(probeApp), h)
	wait, ok := g.open(now, 0)
	require.False(t, ok)
	require.Equal(t, probeApp, wait)

	now = now.Add(probeApp)
	_, ok = g.open(now, 1)
	require.False(t, ok, "the answers of calls in flight come first")
	_, ok = g.open(now, 0)
	require.True(t, ok)
	g.started(now)
	_, ok = g.open(now, 0)
	require.False(t, ok, "one is enough")

	g.ended(refused, h)
	wait, ok = g.open(now.Add(time.Second), 0)
	require.False(t, ok)
	require.Equal(t, probeApp-time.Second, wait)
	_, ok = g.open(now.Add(probeApp), 0)
	require.True(t, ok)
}

func TestWhatShowsThatTheAppIsAcceptedAgain(t *testing.T) {
	for name, open := range map[string]bool{
		"granted": true, "limit reached": true, "system exception": true,
		"app refused": false, "throttled": false, "given up by us": false,
		"nobody listens": false, "timed out": false, "not understood": false,
	} {
		t.Run(name, func(t *testing.T) {
			g := gate{guard: new(guard)}
			h, _ := loggedHolds()
			now := time.Now()
			g.pause(answers()["app refused"], now, now.Add(probeApp), h)
			g.ended(answers()[name], h)
			_, ok := g.open(now, 0)
			require.Equal(t, open, ok)
			require.Equal(t, open, len(h.Current()) == 0)
		})
	}
}

// What is refused here was never sent: it is no sign that the app is accepted again, and
// if it was to be the probe, another is. But that what we send is wrong it does show.
func TestWhatIsRefusedHereEndsNoTrouble(t *testing.T) {
	g := gate{guard: new(guard)}
	h, _ := loggedHolds()
	refusedHere := &topclient.Error{About: topclient.AboutRequest, Code: topclient.CodeNotSendable}
	now := time.Now()
	g.pause(answers()["app refused"], now, now.Add(probeApp), h)
	g.started(now)
	g.ended(refusedHere, h)
	require.Equal(t, []string{"app "}, named(h.Current()))
	_, ok := g.open(now, 0)
	require.True(t, ok, "another probes")
	for range guardAnswers {
		g.ended(refusedHere, h)
	}
	require.Equal(t, []string{"app ", "app refusals"}, named(h.Current()))
	_, ok = g.open(now, 0)
	require.True(t, ok)
}

func TestNewCredentialsAreProbedAtOnce(t *testing.T) {
	g := gate{guard: new(guard)}
	h, _ := loggedHolds()
	now := time.Now()
	g.pause(answers()["app refused"], now, now.Add(probeApp), h)
	g.credentialsChanged(time.Now())
	_, ok := g.open(now, 0)
	require.True(t, ok)
	require.Len(t, h.Current(), 1, "it has to work first")
}

// The story: the secret is rotated and the file changes, while calls signed with
// the old one are in flight, or a probe is. Their refusals come later, and must
// not put off the first try with the new one.
func TestRefusalOfOldCredentialsPutsNothingOff(t *testing.T) {
	g := gate{guard: new(guard)}
	h, _ := loggedHolds()
	began := time.Now()
	g.credentialsChanged(began.Add(time.Second))
	now := began.Add(2 * time.Second)
	g.pause(answers()["app refused"], began, now.Add(probeApp), h)
	_, ok := g.open(now, 0)
	require.True(t, ok)
	g.started(now)
	g.pause(answers()["app refused"], now, now.Add(probeApp), h)
	_, ok = g.open(now.Add(time.Second), 0)
	require.False(t, ok, "the new ones are refused too")
}

func TestProbesOfTheGuardFollowOneAnotherWhileTheyAreAnsweredWell(t *testing.T) {
	g := gate{guard: new(guard)}
	h, _ := loggedHolds()
	for range guardAnswers {
		g.ended(refusedParameter, h)
	}
	require.Equal(t, []string{"app refusals"}, named(h.Current()))
	require.Equal(t, [2]string{"", troubleRefusals}, g.troubles())
	now := time.Now()
	_, ok := g.open(now, 0)
	require.False(t, ok)
	g.credentialsChanged(now)
	_, ok = g.open(now, 0)
	require.False(t, ok, "credentials have nothing to do with it")

	for range guardAnswers - guardOpens {
		require.True(t, g.closed(now), "nobody is parked meanwhile")
		now = now.Add(probeApp)
		_, ok = g.open(now, 0)
		require.True(t, ok)
		g.started(now)
		_, ok = g.open(now, 0)
		require.False(t, ok, "one at a time")
		g.ended(nil, h)
		_, ok = g.open(now, 0)
		require.True(t, ok)
	}
	require.Empty(t, h.Current())
	require.Equal(t, [2]string{}, g.troubles())
}

func TestBanSaysHowLongAndWhatToDo(t *testing.T) {
	now := time.Date(2026, 11, 11, 12, 0, 0, 0, time.UTC)
	for until, want := range map[time.Time]string{
		now.Add(time.Second):                 "until 2026-11-11T12:00:01Z: calls wait, and go on by themselves then; raise the app's quota or lower gateway.rate",
		now.Add(71 * time.Second):            "until 2026-11-11T12:01:11Z: ",
		now.Add(4 * time.Hour):               "until 2026-11-11T16:00:00Z, midnight in Beijing: the calls of the day are used up",
		now.Add(4*time.Hour - 9*time.Second): "until 2026-11-11T15:59:51Z, midnight in Beijing",
		now.Add(4*time.Hour + 9*time.Second): "until 2026-11-11T16:00:09Z, midnight in Beijing",
		now.Add(5 * time.Hour):               "until 2026-11-11T17:00:00Z: ",
	} {
		require.Contains(t, banMend(now, until), want)
	}
	nearMidnight := time.Date(2026, 11, 11, 15, 59, 0, 0, time.UTC)
	require.NotContains(t, banMend(nearMidnight, nearMidnight.Add(time.Minute)), "midnight", "a short ban that happens to end then")
}

func TestNewCredentialsDoNotLiftABan(t *testing.T) {
	g := gate{guard: new(guard)}
	h, _ := loggedHolds()
	now := time.Now()
	g.ban(now.Add(time.Minute), h)
	g.credentialsChanged(time.Now())
	_, ok := g.open(now, 0)
	require.False(t, ok)
}

func TestSubCodeTellsTroublesApart(t *testing.T) {
	for _, row := range []struct{ code, subCode, kind string }{
		{"11", "isv.permission-ip-whitelist-limit", "address"},
		{"11", "isv.permission-api-package-empty", "permission"},
		{"11", "", "permission"},
		{"15", "isv.invalid-permission", "permission"},
		{"15", "isv.permission-denied", "permission"},
		{"15", "isv.appkey-not-exists", "app-key"},
		{"27", "session-expired", "session"},
		{"27", "invalid-sessionkey", "session"},
		{"25", "", "signature"},
		{"31", "", "clock"},
		{"34", "", "other"},
		{topclient.CodeNoCredentials, "", "credentials"},
	} {
		got := troubleOf(&topclient.Error{Code: row.code, SubCode: row.subCode})
		require.Equal(t, row.kind, got.kind, row)
		require.Contains(t, troubleKinds(), got.kind)
	}
	for _, answer := range answersOfEveryKind() {
		if answer.About == topclient.AboutApp {
			require.Contains(t, troubleKinds(), troubleOf(answer).kind, "every label value is known from the start")
		}
	}
}

func TestMendOfAppTroubleNamesTheSetting(t *testing.T) {
	for code, want := range map[string]string{
		topclient.CodeNoCredentials: "gateway.app_secret_file",
		"25":                        "gateway.app_secret_file",
		"27":                        "gateway.session_file",
		"29":                        "gateway.app_key",
		"31":                        "clock",
		"11":                        "white list",
		"22":                        "subscribed",
		"40":                        "update coupongrant",
		"9":                         "documentation of the code",
	} {
		t.Run(code, func(t *testing.T) {
			mend := appMend(&topclient.Error{About: topclient.AboutApp, Code: code, SubCode: "isv.sub"})
			require.Contains(t, mend, want)
			require.Contains(t, mend, "code "+code+" (isv.sub)")
		})
	}
}

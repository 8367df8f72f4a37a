package processor

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
)

func TestGateIsOpenAtFirst(t *testing.T) {
	_, ok := new(gate).open(time.Now(), 1000)
	require.True(t, ok)
}

func TestBanClosesTheGateToTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
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

func TestBanIsOverWithTheFirstAnswerAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		h, _ := loggedHolds()
		g.ban(time.Now().Add(30*time.Second), h)
		g.ended(nil, h) // of a call that was in flight
		require.Len(t, h.Current(), 1)
		time.Sleep(30*time.Second + 1)
		g.ended(answers()["throttled"], h)
		g.ended(answers()["given up by us"], h)
		require.Len(t, h.Current(), 1)
		g.ended(answers()["nobody listens"], h)
		require.Empty(t, h.Current())
	})
}

func TestAppInTroubleIsProbedByOneCallNowAndThen(t *testing.T) {
	var g gate
	h, _ := loggedHolds()
	now := time.Now()
	refused := answers()["app refused"]
	g.pause(refused, now.Add(probeApp), h)
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
			var g gate
			h, _ := loggedHolds()
			now := time.Now()
			g.pause(answers()["app refused"], now.Add(probeApp), h)
			g.ended(answers()[name], h)
			_, ok := g.open(now, 0)
			require.Equal(t, open, ok)
			require.Equal(t, open, len(h.Current()) == 0)
		})
	}
}

func TestNewCredentialsAreProbedAtOnce(t *testing.T) {
	var g gate
	h, _ := loggedHolds()
	now := time.Now()
	g.pause(answers()["app refused"], now.Add(probeApp), h)
	g.credentialsChanged()
	_, ok := g.open(now, 0)
	require.True(t, ok)
	require.Len(t, h.Current(), 1, "it has to work first")
}

func TestNewCredentialsDoNotLiftABan(t *testing.T) {
	var g gate
	h, _ := loggedHolds()
	now := time.Now()
	g.ban(now.Add(time.Minute), h)
	g.credentialsChanged()
	_, ok := g.open(now, 0)
	require.False(t, ok)
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

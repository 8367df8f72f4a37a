package main

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// startGateway runs `gateway` in the background and gives its URL.
func startGateway(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var stdout, stderr output
	code := make(chan int, 1)
	args = append([]string{"gateway", "--listen", "127.0.0.1:0"}, args...)
	go func() { code <- run(ctx, args, strings.NewReader(""), &stdout, &stderr) }()
	t.Cleanup(func() {
		cancel()
		require.Equal(t, exitDone, <-code, stderr.String())
		require.NotContains(t, stdout.String()+stderr.String(), canary)
	})
	url := regexp.MustCompile(`gateway.url: (\S+)`)
	require.Eventually(t, func() bool { return url.MatchString(stdout.String()) }, 10*time.Second, 5*time.Millisecond)
	return url.FindStringSubmatch(stdout.String())[1]
}

func grant(t *testing.T, url string, cred topclient.Credentials, outID string) (topclient.Coupon, error) {
	t.Helper()
	return grantOf(t, url, cred, outID, "u")
}

func grantOf(t *testing.T, url string, cred topclient.Credentials, outID, uuid string) (topclient.Coupon, error) {
	t.Helper()
	client, err := topclient.New(topclient.Config{URL: url}, nil)
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	return client.Send(t.Context(), cred, topclient.Grant{
		BizCode: "b", OpenID: "o", Channel: "c", OutID: outID, UUID: uuid, CouponType: 276,
	})
}

var demo = topclient.Credentials{AppKey: topsim.DemoAppKey, AppSecret: topclient.NewSecret(topsim.DemoAppSecret), Session: topclient.NewSecret(topsim.DemoSession)}

func TestGatewayGrantsAndShowsItsLedger(t *testing.T) {
	url := startGateway(t)
	coupon, err := grant(t, url, demo, "r-1")
	require.NoError(t, err)
	require.Positive(t, coupon.InstanceID)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimSuffix(url, routerPath)+"/control/ledger", http.NoBody)
	require.NoError(t, err)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(t, http.StatusOK, answer.StatusCode)
}

func TestGatewayKeepsItsLedger(t *testing.T) {
	dir := t.TempDir()
	var first, second topclient.Coupon
	t.Run("before", func(t *testing.T) {
		var err error
		first, err = grant(t, startGateway(t, "--data-dir", dir), demo, "r-1")
		require.NoError(t, err)
	})
	t.Run("after", func(t *testing.T) {
		var err error
		second, err = grant(t, startGateway(t, "--data-dir", dir), demo, "r-1")
		require.NoError(t, err)
	})
	require.Equal(t, first.InstanceID, second.InstanceID)
}

func TestGatewayMisbehavesOnOrder(t *testing.T) {
	url := startGateway(t, "--fault", "business -7", "--fault", "outage")
	_, err := grant(t, url, demo, "r-1")
	var refused *topclient.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, topclient.BusinessLimitReached, refused.Business)
}

// Each flag shows in the answer to the second of two calls.
func TestGatewayIsSteeredByFlags(t *testing.T) {
	for _, tt := range []struct {
		flags  []string
		second string // out_id; the first is r-1
		uuid   string // of the second; the first is u
		code   string
		sub    string
	}{
		{[]string{"--stock", "1"}, "r-2", "u", "15", "-6"},
		{[]string{"--per-member", "1"}, "r-2", "u", "15", "-7"},
		{[]string{"--calls-per-day", "1"}, "r-2", "u", "7", "accesscontrol.limited-by-app-access-count"},
		{[]string{"--replay", "refuse"}, "r-1", "u", "15", "-11"},
		{[]string{"--replay", "refuse", "--form", "F3-isv"}, "r-1", "u", "15", "isv.-11"},
		{[]string{"--replay", "no-model"}, "r-1", "u", topclient.CodeNoCoupon, ""},
		{[]string{"--conflict", "-11"}, "r-1", "other", "15", "-11"},
	} {
		t.Run(strings.Join(tt.flags, " "), func(t *testing.T) {
			url := startGateway(t, tt.flags...)
			_, err := grantOf(t, url, demo, "r-1", "u")
			require.NoError(t, err)
			_, err = grantOf(t, url, demo, tt.second, tt.uuid)
			var e *topclient.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.code, e.Code)
			require.Equal(t, tt.sub, e.SubCode)
		})
	}
}

func TestGatewayOfAnotherTime(t *testing.T) {
	_, err := grant(t, startGateway(t, "--clock", "-11m"), demo, "r-1")
	var e *topclient.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "31", e.Code)
}

func TestGatewayForgets(t *testing.T) {
	url := startGateway(t, "--retention", "1ns", "--latency", "1ms", "--spread", "1ms", "--calls-per-second", "1000")
	first, err := grant(t, url, demo, "r-1")
	require.NoError(t, err)
	second, err := grant(t, url, demo, "r-1")
	require.NoError(t, err)
	require.NotEqual(t, first.InstanceID, second.InstanceID)
}

func TestGatewayRefusesWrongFlags(t *testing.T) {
	for flags, want := range map[string]string{
		"--replay=never":          "set same, no-model, refuse or limit-first",
		"--conflict=42":           "set same, 41 or -11",
		"--form=F9":               "F4-err_code-text",
		"--fault=typhoon":         "gateway faults",
		"--script=/nowhere":       "--script",
		"--calls-per-day=-1":      "any number",
		"--latency=-1s":           "negative",
		"--listen=host:port:port": "--listen",
	} {
		got := runWith(t, "", "gateway", flags)
		require.NotEqual(t, exitDone, got.code, flags)
		require.Contains(t, got.stderr, want)
	}
}

func TestGatewayKnowsTheConfiguredApp(t *testing.T) {
	t.Setenv("COUPONGRANT_GATEWAY_APP_SECRET", canary)
	t.Setenv("COUPONGRANT_GATEWAY_SESSION", canary)
	url := startGateway(t, "--gateway.app_key", "42")
	_, err := grant(t, url, topclient.Credentials{AppKey: "42", AppSecret: topclient.NewSecret(canary), Session: topclient.NewSecret(canary)}, "r-1")
	require.NoError(t, err)
	_, err = grant(t, url, demo, "r-2")
	require.Error(t, err, "the demo app is known only where no other is")
}

func TestGatewayFaultsAreListed(t *testing.T) {
	got := runWith(t, "", "gateway", "faults")
	require.Equal(t, exitDone, got.code)
	for _, f := range topsim.Faults() {
		require.Contains(t, got.stdout, f.Name)
	}
}

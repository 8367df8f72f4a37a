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
	client, err := topclient.New(topclient.Config{URL: url}, nil)
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	return client.Send(t.Context(), cred, topclient.Grant{
		BizCode: "b", OpenID: "o", Channel: "c", OutID: outID, UUID: "u", CouponType: 276,
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

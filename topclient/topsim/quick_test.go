package topsim_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

func TestQuickGrantsEveryoneAfterTheirTime(t *testing.T) {
	var asked []string
	srv := httptest.NewServer(topsim.NewQuick(func(outID string) time.Duration {
		asked = append(asked, outID)
		return 30 * time.Millisecond
	}))
	t.Cleanup(srv.Close)
	client, err := topclient.New(topclient.Config{URL: srv.URL + "/router/rest"}, nil)
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	cred := topclient.Credentials{AppKey: topsim.DemoAppKey, AppSecret: topclient.NewSecret("s"), Session: topclient.NewSecret("s")}

	began := time.Now()
	coupon, err := client.Send(t.Context(), cred, topclient.Grant{
		BizCode: "store", OpenID: "AAE", Channel: "pos", OutID: "slow-17", UUID: "c276-01", CouponType: 276,
	})

	require.NoError(t, err)
	require.Positive(t, coupon.InstanceID)
	require.NotEmpty(t, coupon.RequestID)
	require.NotNil(t, coupon.Name)
	require.Equal(t, []string{"slow-17"}, asked)
	require.GreaterOrEqual(t, time.Since(began), 30*time.Millisecond)
}

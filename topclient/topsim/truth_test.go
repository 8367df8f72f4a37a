package topsim_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// report is what one call under a fault came to.
type report struct {
	given bool             // the ledger has a coupon
	err   *topclient.Error // what the client says; nil: the coupon of the ledger
}

// callUnder makes one call under a fault that strikes it.
func callUnder(t *testing.T, f topsim.Fault) (got report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim, err := topsim.New(topsim.DefaultConfig())
		require.NoError(t, err)
		defer func() { require.NoError(t, sim.Close()) }()
		client, err := topclient.New(topclient.Config{URL: "http://gateway.test/router/rest"}, sim.Transport())
		require.NoError(t, err)
		rule := sim.On(topsim.Match{}, f.Behaviour).Once()
		coupon, err := client.Send(t.Context(), topclient.Credentials{
			AppKey: topsim.DemoAppKey, AppSecret: topclient.NewSecret(topsim.DemoAppSecret), Session: topclient.NewSecret(topsim.DemoSession),
		}, topclient.Grant{
			BizCode: "YXX", OpenID: "dfdsdfow", Channel: "app", OutID: "order-1", UUID: "fsdfsfee1f2", CouponType: 247,
		})
		require.Equal(t, int64(1), rule.Count())
		entry, _ := sim.Ledger().Entry("order-1")
		got.given = entry.Granted
		if err == nil {
			require.Equal(t, entry.InstanceID(), coupon.InstanceID)
			return
		}
		var ok bool
		got.err, ok = errors.AsType[*topclient.Error](err)
		require.True(t, ok)
	})
	return got
}

// To a client that asks for gzip, gzip that is none must not become some.
func TestGzipLieLiesToWhoeverAsksForGzip(t *testing.T) {
	for _, f := range topsim.Faults() {
		if f.Name == "gzip-lie" {
			require.Contains(t, callUnder(t, f).err.Error(), "declared gzip and is not")
		}
	}
}

// Whatever goes wrong, our client tells no lie: a coupon it returns is the
// ledger's, and an error after a grant says that there may be one.
func TestClientTellsTheTruthUnderEveryFault(t *testing.T) {
	for _, f := range topsim.Faults() {
		t.Run(f.Name, func(t *testing.T) {
			got := callUnder(t, f)
			require.True(t, got.err == nil || got.err.MayHaveGranted || !got.given, "granted, but the client says: %s", got.err)
			require.True(t, got.err != nil || got.given)
		})
	}
}

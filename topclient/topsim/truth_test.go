package topsim_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// Whatever goes wrong, our client tells no lie: a coupon it returns is the
// ledger's, and an error after a grant says that there may be one.
func TestClientTellsTheTruthUnderEveryFault(t *testing.T) {
	for _, f := range topsim.Faults() {
		t.Run(f.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim, err := topsim.New(topsim.DefaultConfig())
				require.NoError(t, err)
				client, err := topclient.New(
					topclient.Config{URL: "http://gateway.test/router/rest"}, &http.Client{Transport: sim.Transport()})
				require.NoError(t, err)
				rule := sim.On(topsim.Match{}, f.Behaviour).Once()
				coupon, err := client.Send(t.Context(), topclient.Credentials{
					AppKey: topsim.DemoAppKey, AppSecret: topclient.NewSecret(topsim.DemoAppSecret), Session: topclient.NewSecret(topsim.DemoSession),
				}, topclient.Grant{
					BizCode: "YXX", OpenID: "dfdsdfow", Channel: "app", OutID: "order-1", UUID: "fsdfsfee1f2", CouponType: 247,
				})
				require.Equal(t, int64(1), rule.Count())
				entry, _ := sim.Ledger().Entry("order-1")
				if err == nil {
					require.Equal(t, entry.InstanceID(), coupon.InstanceID)
					return
				}
				failed, ok := errors.AsType[*topclient.Error](err)
				require.True(t, ok)
				require.True(t, failed.MayHaveGranted || !entry.Granted, "granted, but the client says: %s", failed)
				require.NoError(t, sim.Close())
			})
		})
	}
}

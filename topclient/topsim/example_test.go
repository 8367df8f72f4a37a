package topsim_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/coupongrant/coupongrant/topclient"
	"github.com/coupongrant/coupongrant/topclient/topsim"
)

// A lost answer: the coupon is granted, the caller cannot know, and a repeat with
// the same out_id brings the same coupon.
func Example() {
	sim, err := topsim.New(topsim.DefaultConfig())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = sim.Close() }()
	client, err := topclient.New(topclient.Config{URL: "http://gateway.test/router/rest"}, sim.Transport())
	if err != nil {
		fmt.Println(err)
		return
	}
	credentials := topclient.Credentials{
		AppKey: topsim.DemoAppKey, AppSecret: topclient.NewSecret(topsim.DemoAppSecret), Session: topclient.NewSecret(topsim.DemoSession),
	}
	grant := topclient.Grant{
		BizCode: "YXX", OpenID: "dfdsdfow", Channel: "app", OutID: "order-1", UUID: "fsdfsfee1f2", CouponType: 247,
	}

	lost := sim.On(topsim.Match{OutID: "order-*"}, topsim.LoseAnswer()).Once()
	_, err = client.Send(context.Background(), credentials, grant)
	failed, _ := errors.AsType[*topclient.Error](err)
	fmt.Println("may have granted:", failed.MayHaveGranted)

	coupon, err := client.Send(context.Background(), credentials, grant)
	fmt.Println("granted:", coupon.InstanceID, err)
	fmt.Println("answers lost:", lost.Count(), "coupons given:", sim.Ledger().Grants("order-1"))
	// Output:
	// may have granted: true
	// granted: 7091800003790954039 <nil>
	// answers lost: 1 coupons given: 1
}

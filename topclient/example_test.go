package topclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/coupongrant/coupongrant/topclient"
)

// One attempt, and what its answer lets the caller do.
func Example() {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"tmall_nrt_coupon_send_response":{"model":{"coupon_instance_id":7091800003790954036}}}`)
	}))
	defer gateway.Close()

	cfg := topclient.DefaultConfig()
	cfg.URL = gateway.URL
	client, err := topclient.New(cfg, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()

	credentials := topclient.Static(topclient.Credentials{AppKey: "12345678", AppSecret: topclient.NewSecret("…"), Session: topclient.NewSecret("…")})
	grant := topclient.Grant{
		BizCode: "YXX", OpenID: "AAHd5d-EAAeGwJedwSHpg8bT", Channel: "app",
		OutID: "receipt-4711", UUID: "fsdfsfee1f2", CouponType: 247,
	}
	coupon, err := client.Send(context.Background(), credentials.Current(), grant)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("granted", coupon.InstanceID)
	// Output: granted 7091800003790954036
}

// The two answers of an Error are independent: whom it is about, and whether a
// coupon may have been granted all the same.
func ExampleError() {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"error_response":{"code":7,"msg":"App Call Limited",`+
			`"sub_code":"accesscontrol.limited-by-app-access-count","sub_msg":"This ban will last for 71 more seconds"}}`)
	}))
	defer gateway.Close()
	client, err := topclient.New(topclient.Config{URL: gateway.URL}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()

	_, err = client.Send(context.Background(),
		topclient.Credentials{AppKey: "12345678", AppSecret: topclient.NewSecret("…"), Session: topclient.NewSecret("…")}, topclient.Grant{OutID: "receipt-4711"})
	var answer *topclient.Error
	switch {
	case !errors.As(err, &answer):
		fmt.Println("granted")
	case answer.Throttled:
		fmt.Println("nobody calls for", answer.RetryAfter)
	case answer.About == topclient.AboutApp:
		fmt.Println("nobody calls until a person mends it:", answer)
	case answer.MayHaveGranted:
		fmt.Println("call again, with the same OutID:", answer)
	case answer.About == topclient.AboutRequest:
		fmt.Println("refused for good:", answer.Business)
	default:
		fmt.Println("call again:", answer)
	}
	// Output: nobody calls for 1m11s
}

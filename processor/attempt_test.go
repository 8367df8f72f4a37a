package processor

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/schemas"
	"github.com/coupongrant/coupongrant/topclient"
)

// Whether a call began before credentials changed is not to depend on a wall clock that
// was set in between; what is told of it, is.
func TestCallsAreComparedByTheMonotonicClock(t *testing.T) {
	client, err := topclient.New(topclient.DefaultConfig(), answerAtHand{http.Header{}})
	require.NoError(t, err)
	calls := attempter{client: client, timeout: time.Minute, credentials: topclient.Static(topclient.Credentials{
		AppKey: "app", AppSecret: topclient.NewSecret("secret"), Session: topclient.NewSecret("session"),
	})}
	ans := calls.Attempt(t.Context(), &task{request: schemas.Request{
		RequestID: "1", OccurredAt: time.Now(), BizCode: "b", OpenID: schemas.NewOpenID("o"), Channel: "c", CouponCode: "u", CouponType: 276,
	}})
	require.Nil(t, ans.err)
	require.NotEqual(t, ans.at.Round(0), ans.at)
	require.Equal(t, ans.at.Round(0).UTC(), ans.logged().At)
}

// Nobody is refused by us who keeps the rules of a request: whether a coupon is granted
// is the gateway's to say, however long the text becomes on its way.
func TestWhatTheRulesAdmitIsSent(t *testing.T) {
	const arguments = 8 << 10
	client, err := topclient.New(topclient.DefaultConfig(), answerAtHand{http.Header{}})
	require.NoError(t, err)
	calls := attempter{client: client, timeout: time.Minute, credentials: topclient.Static(topclient.Credentials{
		AppKey: "app", AppSecret: topclient.NewSecret("secret"), Session: topclient.NewSecret("session"),
	})}
	for _, of := range []string{"x", `"`, "\x01", "满", "\u2028", "😀", "\ufffd", " "} {
		q := schemas.Request{
			RequestID: "1", OccurredAt: time.Now(), BizCode: "b", OpenID: schemas.NewOpenID("o"), Channel: "c",
			CouponCode: "u", CouponType: 276,
		}
		extra := strings.Repeat(of, (arguments-len("1boc"+"u"))/len(of))
		q.Extra = &extra
		require.NoError(t, schemas.Rules{}.Check(q))
		ans := calls.Attempt(t.Context(), &task{request: q})
		require.Nil(t, ans.err, "%q", of)
		require.NotZero(t, ans.coupon.InstanceID, "%q", of)
	}
}

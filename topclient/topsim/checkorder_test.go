package topsim

import (
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// badCall is a call that is wrong in everything at first, and the gateway that
// it is made to.
type badCall struct {
	t            *testing.T
	sim          *Simulator
	clock        *clock
	app          App
	params       params
	path, method string
	tail         string // of the form
}

func newBadCall(t *testing.T) *badCall {
	now := &clock{now: noon}
	cfg := DefaultConfig()
	cfg.Clock, cfg.Quotas = now.Now, Quotas{AppPerDay: 1}
	cfg.Coupons = map[string]Coupon{"none": {Stock: -1}}
	return &badCall{
		t: t, sim: newSim(t, cfg), clock: now, path: "/elsewhere", method: http.MethodPut, tail: "&x=1&x=2",
		params: params{"sign_method": "hmac-sha256", "format": "yaml"},
		app: App{
			Secret: "secret", Sessions: map[string]time.Time{"known": noon},
			IPs: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, NoPackage: true,
		},
	}
}

func (c *badCall) send() string {
	caller := inProcess(c.sim)
	r := caller.request(c.t.Context(), c.params.form()+c.tail)
	r.Method, r.URL.Path = c.method, c.path
	s := caller.do(r)
	switch {
	case s.status != http.StatusOK:
		return strconv.Itoa(s.status)
	case s.header.Get("Content-Type") == "text/xml;charset=UTF-8":
		return strconv.Itoa(xmlOrJSONCode(c.t, s))
	default:
		return answerOf(c.t, s)
	}
}

// stamp is the gateway's time.
func (c *badCall) stamp() { c.params["timestamp"] = c.clock.Now().In(gatewayZone).Format(timeLayout) }

func (c *badCall) sign() { c.params.without("sign").signed("secret") }

// mendApp makes the gateway know the app, as it then is.
func (c *badCall) mendApp(change func(*App)) {
	change(&c.app)
	c.sim.SetApp("late", c.app)
}

// Every step mends what the answer before it was about, and nothing else. What
// then fails is the next check: it comes before all that follow.
func TestChecksComeInTheirOrder(t *testing.T) {
	c := newBadCall(t)
	set := func(name, value string) func() { return func() { c.params[name] = value } }
	signed := func(name, value string) func() {
		return func() { c.params[name] = value; c.sign() }
	}
	for i, step := range []struct {
		mend func()
		want string
	}{
		{func() {}, "404"},
		{func() { c.path = routerPath }, "9"},
		{func() { c.method = http.MethodPost }, "41"},
		{func() { c.tail = "" }, "21"},
		{set("method", "taobao.user.seller.get"), "28"},
		{set("app_key", "late"), "32"},
		{set("v", "two"), "33"},
		{set("v", "1.0"), "34"},
		{set("v", "2.0"), "30"},
		{set("timestamp", "yesterday"), "31"},
		{c.stamp, "23"},
		{set("format", "json"), "24"},
		{set("sign", "guess"), "22"},
		{set("method", Method), "29 isv.appkey-not-exists"},
		{func() { c.mendApp(func(*App) {}) }, "25"},
		{c.sign, "11 isv.permission-ip-whitelist-limit"},
		{func() { c.mendApp(func(a *App) { a.IPs = nil }) }, "11 isv.permission-api-package-limit"},
		{func() { c.mendApp(func(a *App) { a.NoPackage = false }) }, "26"},
		{signed("session", "unknown"), "27 invalid-sessionkey"},
		{signed("session", "known"), "27 session-expired"},
		{func() {
			c.mendApp(func(a *App) { a.Sessions = map[string]time.Time{"known": {}} })
			require.Equal(t, "40", c.send(), "the one call of the day")
		}, "7 accesscontrol.limited-by-app-access-count"},
		{func() { c.clock.Add(24 * time.Hour); c.stamp(); c.sign() }, "40"},
		{func() { c.clock.Add(24 * time.Hour); c.stamp(); signed(dtoName, `{"out_id":"out-1"}`)() }, "41"},
		{func() {
			c.clock.Add(24 * time.Hour)
			c.stamp()
			c.params[dtoName] = newParams("out-1", noon)[dtoName]
			c.params.content("uuid", "none")
			c.sign()
		}, "15 -6"},
		{func() { c.clock.Add(24 * time.Hour); c.stamp(); c.params.content("uuid", "some"); c.sign() }, "granted"},
	} {
		step.mend()
		require.Equal(t, step.want, c.send(), "step %d", i)
	}
}

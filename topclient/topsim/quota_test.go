package topsim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestQuotasBan(t *testing.T) {
	other := func(p params) params { return p.with("app_key", "other").with("session", "other-session") }
	mine := func(p params) params { return p }
	for _, tt := range []struct {
		name   string
		quotas Quotas
		second func(params) params
		secret string
		want   string
		text   string
		wait   time.Duration
	}{
		{"app and API", Quotas{AppAPIPerSecond: 1}, mine, DemoAppSecret, "7 accesscontrol.limited-by-app-api-access-count", "for 1 more", time.Second},
		{"API", Quotas{APIPerSecond: 1}, other, "other-secret", "7 accesscontrol.limited-by-api-access-count", "for 1 more", time.Second},
		{"app", Quotas{AppPerDay: 1}, mine, DemoAppSecret, "7 accesscontrol.limited-by-app-access-count", "for 43200 more", 12 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := &clock{now: noon}
			cfg := DefaultConfig()
			cfg.Clock, cfg.Quotas = now.Now, tt.quotas
			cfg.Apps["other"] = App{Secret: "other-secret", Sessions: map[string]time.Time{"other-session": {}}}
			sim := newSim(t, cfg)
			c := inProcess(sim)
			second := func() seen {
				return c.call(t.Context(), tt.second(newParams("out-2", now.Now())).signed(tt.secret).form())
			}
			require.NotZero(t, c.grant(t, sim, "out-1").instance(t))
			banned := second()
			require.Equal(t, tt.want, answerOf(t, banned))
			require.Contains(t, banned.envelope(t).Error.SubMsg, tt.text)
			now.Add(tt.wait - time.Millisecond)
			require.Equal(t, tt.want, answerOf(t, second()))
			now.Add(time.Millisecond)
			require.NotZero(t, second().instance(t))
			require.Equal(t, int64(2), sim.Stats().Rejected["7"])
		})
	}
}

func TestQuotaOfAnAppIsItsOwn(t *testing.T) {
	q := quota{limits: Quotas{AppPerDay: 1, AppAPIPerSecond: 1}}
	require.Nil(t, q.take("a", noon))
	require.Nil(t, q.take("b", noon))
	require.NotNil(t, q.take("a", noon))
}

func TestCrowdIsTheMostInAnyWindow(t *testing.T) {
	c := crowd{width: 10}
	for _, at := range []int64{0, 1, 9, 10, 11, 12, 30, 39, 40, 41} {
		c.add(at)
	}
	require.Equal(t, 4, c.most, "1, 9, 10 and then 9, 10, 11, 12")

	steady := crowd{width: 1000}
	for at := range int64(100_000) {
		steady.add(at)
	}
	require.Equal(t, 1000, steady.most)
	require.LessOrEqual(t, cap(steady.times), 4096, "only a window is kept")
}

package processor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
)

var refusedParameter = &topclient.Error{About: topclient.AboutRequest, Code: "15", SubCode: "isv.invalid-parameter:uuid"}

func TestWhichAnswersRefuseWhatWeSend(t *testing.T) {
	wrong := map[string]bool{}
	for _, row := range append(topclient.CodeTable(), topclient.OwnCodeTable()...) {
		if refusedAsWrong(row.Answer()) {
			wrong[row.Code+row.SubCode] = true
		}
	}
	const service = "15, 50, 100 and above"
	require.Equal(t, map[string]bool{
		"40": true, "41": true, "not-sendable": true,
		service + "isv.missing-parameter": true, service + "isv.invalid-parameter": true, service + "isv.*-not-exist": true,
	}, wrong)
	require.True(t, refusedAsWrong(&topclient.Error{About: topclient.AboutUnknown, MayHaveGranted: true, Code: "15", SubCode: "isv.new-word"}))
	require.False(t, refusedAsWrong(&topclient.Error{About: topclient.AboutUnknown, MayHaveGranted: true, Code: "15", SubCode: "F00-1"}))
	require.False(t, refusedAsWrong(nil))
}

// fed counts answers: n of each in turn.
func fed(g *guard, n int, answers ...*topclient.Error) {
	for range n {
		for _, answer := range answers {
			g.note(answer)
		}
	}
}

func TestGuardShutsAndOpens(t *testing.T) {
	all := answers()
	limit, silent, app, system := all["limit reached"], all["timed out"], all["app refused"], all["system exception"]
	for name, row := range map[string]struct {
		feed func(g *guard)
		shut bool
	}{
		"nothing yet":                        {func(*guard) {}, false},
		"all wrong, but too few":             {func(g *guard) { fed(g, 99, refusedParameter) }, false},
		"all wrong":                          {func(g *guard) { fed(g, 100, refusedParameter) }, true},
		"exactly half":                       {func(g *guard) { fed(g, 50, refusedParameter, nil) }, false},
		"one more than half":                 {func(g *guard) { fed(g, 50, nil, refusedParameter); fed(g, 1, refusedParameter) }, true},
		"the limit of every member":          {func(g *guard) { fed(g, 500, limit, all["out of stock"], all["coupon invalid"]) }, false},
		"business exceptions":                {func(g *guard) { fed(g, 500, all["business exception"], system) }, false},
		"silence between them does not help": {func(g *guard) { fed(g, 100, refusedParameter, silent, app, all["throttled"], all["given up by us"]) }, true},
		"silence does not count":             {func(g *guard) { fed(g, 99, refusedParameter, silent) }, false},
		"long ago":                           {func(g *guard) { fed(g, 50, refusedParameter); fed(g, 60, nil); fed(g, 40, refusedParameter) }, false},
		"shut, and half are wrong":           {func(g *guard) { fed(g, 100, refusedParameter); fed(g, 500, nil, refusedParameter) }, true},
		"shut, and a third is wrong":         {func(g *guard) { fed(g, 100, refusedParameter); fed(g, 500, nil, nil, refusedParameter) }, true},
		"shut, and 74 good ones":             {func(g *guard) { fed(g, 100, refusedParameter); fed(g, 74, nil) }, true},
		"shut, and 75 good ones":             {func(g *guard) { fed(g, 100, refusedParameter); fed(g, 75, nil) }, false},
		"a person has accepted it":           {func(g *guard) { g.accept = true; fed(g, 500, refusedParameter) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := new(guard)
			row.feed(g)
			require.Equal(t, row.shut, g.shut)
			require.Equal(t, row.shut, g.keeps(refusedParameter))
			require.False(t, g.keeps(nil))
			require.False(t, g.keeps(limit), "a refusal that means it ends its request all the same")
		})
	}
}

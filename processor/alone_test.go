package processor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/topclient"
)

// The platform's limits and bans are always those of the app: no request is taken to
// be the only one that gets them.
func TestOnlyWordsOfTheServiceAndOfTheAppCanBeAboutOneRequest(t *testing.T) {
	p := policy{cfg: DefaultConfig()}
	about := map[string]bool{}
	for _, answer := range []*topclient.Error{
		nil,
		{About: topclient.AboutGateway, Throttled: true, Code: "4"},
		{About: topclient.AboutGateway, Throttled: true, Code: "7", SubCode: "accesscontrol.limited-by-app-access-count"},
		{About: topclient.AboutGateway, Throttled: true, Code: "8"},
		{About: topclient.AboutGateway, Throttled: true, Code: "15", SubCode: "isv.BUSINESS_LIMIT_CONTROL"},
		{About: topclient.AboutGateway, Throttled: true, Code: "530", SubCode: "isp.call-limited"},
		{About: topclient.AboutGateway, Code: "10", MayHaveGranted: true},
		{About: topclient.AboutApp, Code: "15", SubCode: "isv.permission-denied"},
		{About: topclient.AboutApp, Code: "41"},
		{About: topclient.AboutApp, Throttled: true, Canceled: true, Code: topclient.CodeCanceled},
	} {
		about[answerCode(answer)] = about[answerCode(answer)] || aboutAll(p.next(answer, &task{}, false), answer)
	}
	for code, want := range map[string]bool{
		"": false, "4": false, "7 (accesscontrol.limited-by-app-access-count)": false, "8": false, "10": false,
		"15 (isv.BUSINESS_LIMIT_CONTROL)": true, "530 (isp.call-limited)": true,
		"15 (isv.permission-denied)": true, "41": true, topclient.CodeCanceled: false,
	} {
		require.Equal(t, want, about[code], code)
	}
}

package processor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coupongrant/coupongrant/topclient"
)

// trouble is a kind of trouble with our app, one of a fixed few and fit for a
// label, and what a person can do about it.
type trouble struct{ kind, mend string }

// troubles by what an answer says: the beginning of its sub-code, else its code.
var troubles = []struct {
	subCode string
	codes   []string
	trouble
}{
	{"isv.permission-ip-", nil, trouble{"address", "this host's address is not on the app's white list: add it in the app's console"}},
	{"isv.permission-", nil, trouble{"permission", "the app lacks the permission for this API: ask for it in the app's console"}},
	{"isv.invalid-permission", nil, trouble{"permission", "the app lacks the permission for this API: ask for it in the app's console"}},
	{"isv.appkey-", []string{"28", "29"}, trouble{"app-key", "check gateway.app_key, and that gateway.url is of the environment it belongs to"}},
	{"session-expired", nil, trouble{"session", "the session has expired: authorise again and replace the content of gateway.session_file"}},
	{"", []string{"26", "27", "44", "53"}, trouble{"session", "the session is missing, invalid or expired: authorise again and replace the content of gateway.session_file"}},
	{"", []string{"24", "25"}, trouble{"signature", "the secret is wrong or was changed at Tmall: check gateway.app_secret_file and gateway.sign_method"}},
	{"", []string{topclient.CodeNoCredentials}, trouble{"credentials", "check gateway.app_key, gateway.app_secret_file and gateway.session_file"}},
	{"", []string{"30", "31"}, trouble{"clock", "check this host's clock: the gateway takes timestamps within 10 minutes"}},
	{"", []string{"11", "12", "13"}, trouble{"permission", "the app lacks the permission for this API, or this host's address is not on its white list: ask for it in the app's console"}},
	{"", []string{"21", "22"}, trouble{"api", "the API may be withdrawn: check that the app is subscribed to it"}},
	{"", []string{"40", "41"}, trouble{"api", "the gateway does not accept what this version sends: update coupongrant"}},
}

// Trouble that no row tells of, and that of the guard.
const (
	troubleOther    = "other"
	troubleRefusals = "refusals"
)

// troubleKinds are all kinds, for the metric.
func troubleKinds() []string {
	kinds := []string{troubleOther, troubleRefusals}
	for _, row := range troubles {
		if !slices.Contains(kinds, row.kind) {
			kinds = append(kinds, row.kind)
		}
	}
	return kinds
}

// troubleOf says which trouble a refusal of the app tells of.
func troubleOf(e *topclient.Error) trouble {
	for _, row := range troubles {
		if row.subCode != "" && strings.HasPrefix(e.SubCode, row.subCode) || slices.Contains(row.codes, e.Code) {
			return row.trouble
		}
	}
	return trouble{troubleOther, "see the gateway's documentation of the code"}
}

// appMend says which trouble it is, what a person can do, and how it goes on.
func appMend(e *topclient.Error) string {
	sub := ""
	if e.SubCode != "" {
		sub = " (" + e.SubCode + ")"
	}
	return fmt.Sprintf("the gateway refuses our app with code %s%s: %s; no request fails meanwhile, one call every %s tries again, and one at once when a credential file changes",
		e.Code, sub, troubleOf(e).mend, short(probeApp))
}

// banMend says how long a ban lasts. Those of the day's calls end at midnight in
// Beijing, and cannot be mended by calling more slowly.
func banMend(now, until time.Time) string {
	at := until.UTC().Format(time.RFC3339)
	if until.Sub(midnight(until.Add(day/2))).Abs() < 2*time.Minute && until.Sub(now) > 10*time.Minute {
		return "the gateway limits our calls until " + at + ", midnight in Beijing: the calls of the day are used up; calls wait, and go on by themselves then; ask for a higher quota, or set gateway.daily_budget, if this comes often"
	}
	return "the gateway limits our calls until " + at + ": calls wait, and go on by themselves then; raise the app's quota or lower gateway.rate if this comes often"
}

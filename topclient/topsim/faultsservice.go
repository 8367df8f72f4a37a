package topsim

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// platformFaults refuse with the gateway's own codes, which come before the
// service and so before the grant. Only 10 can hide one.
func platformFaults() []Fault {
	var out []Fault
	add := func(name string, p problem) {
		text := strings.TrimSpace("code " + strconv.Itoa(p.code) + " " + p.subCode)
		out = append(out, newFault(GroupPlatform, text+": "+p.msg(), problemBehaviour(name, p)))
	}
	for _, code := range []int{
		3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34,
		42, 43, 44, 45, 46, 47, 50, 53, 99, 520, 530, 550, 560, 670,
	} {
		add("code-"+strconv.Itoa(code), problem{code: code})
	}
	out = append(out, both(GroupPlatform, "code 10: Service Currently Unavailable, also for maintenance of the whole gateway",
		problemBehaviour("code-10", problem{code: 10}))...)
	for _, limit := range []string{"app-access-count", "api-access-count", "app-api-access-count", "dynamic-access-count"} {
		add("code-7-"+strings.TrimSuffix(limit, "-access-count"), *ban(limit, time.Second))
	}
	for _, right := range []string{"api-package-empty", "api-package-not-allowed", "api-package-limit", "api-widget-only-limit", "ip-whitelist-limit"} {
		add("code-11-"+right, problem{code: 11, subCode: "isv.permission-" + right})
	}
	for _, sub := range []string{"invalid-sessionkey", "session-is-blank", "sessionkey-not-generated-by-server", "INVALID_PARAMS", "session-expired"} {
		add("code-27-"+strings.ToLower(sub), problem{code: 27, subCode: sub})
	}
	add("code-40-dto", problem{code: 40, detail: dtoName})
	add("code-40-session", problem{code: 40, detail: "session"})
	add("code-41-open-id", problem{code: 41, detail: "open_id"})
	add("code-41-timestamp", problem{code: 41, detail: "timestamp"})
	add("code-40", problem{code: 40})
	add("code-41", problem{code: 41})
	return append(out, banFaults()...)
}

// banFaults are code 7 with everything that its text may say.
func banFaults() []Fault {
	var out []Fault
	add := func(name, subMsg string) {
		p := problem{code: 7, subCode: "accesscontrol.limited-by-app-access-count", subMsg: subMsg}
		out = append(out, newFault(GroupPlatform, "code 7: "+cmp.Or(subMsg, "no sub_msg"), problemBehaviour(name, p)))
	}
	for _, seconds := range []string{"1", "2", "71", "31062"} {
		add("ban-"+seconds, "This ban will last for "+seconds+" more seconds")
	}
	add("ban-missing", "")
	add("ban-garbage", "This ban will last for some more seconds")
	add("ban-absurd", "This ban will last for 99999999999999999999 more seconds")
	add("ban-negative", "This ban will last for -5 more seconds")
	midnight := Behaviour{name: "ban-midnight", says: func(now time.Time) outcome {
		return outcome{problem: ban("app-access-count", untilMidnight(now))}
	}}
	return append(out, newFault(GroupPlatform, "code 7: until 24:00 GMT+8", midnight))
}

// backendFaults are code 15 with the words of whoever serves the API. The isp
// words can come after the grant; the isv words are refusals.
func backendFaults() []Fault {
	var out []Fault
	behaviour := func(subCode string) Behaviour {
		return problemBehaviour(subCode, problem{code: 15, subCode: subCode})
	}
	for _, word := range []string{
		"isp.top-remote-connection-timeout", "isp.remote-service-timeout", "isp.http-read-timeout",
		"isp.top-remote-service-unavailable", "isp.service-unavailable-tmall", "isp.remote-connection-error",
		"isp.top-remote-connection-error", "isp.http-connection-timeout", "isp.http-connection-refuse", "isp.http-closed",
		"isp.unknown-error", "isp.null-pointer-exception", "isp.service-error", "isp.remote-service-error",
		"isp.remote-service-error-tmall", "isp.remote-service-timeout-tmall", "isp.system-busy",
		"isp.top-mapping-parse-error", "isp.never-heard-of", "isv.never-heard-of", "F00-00-10020-002",
	} {
		out = append(out, both(GroupBackend, "code 15 "+word, behaviour(word))...)
	}
	for _, word := range []string{
		"isp.call-limited", "isv.BUSINESS_LIMIT_CONTROL", "isv.missing-parameter", "isv.missing-parameter:open_id",
		"isv.invalid-parameter", "isv.invalid-parameter:uuid", "isv.coupon-not-exist:NO_DATA",
		"isv.invalid-permission", "isv.permission-denied", "isv.appkey-not-exists",
	} {
		out = append(out, newFault(GroupBackend, "code 15 "+word, behaviour(word)))
	}
	return out
}

// businessFaults are the service's own codes, each in each form. Of -9999 and of
// a code that no page lists nobody knows whether they can follow a grant.
func businessFaults() []Fault {
	var out []Fault
	for _, code := range []int{-3, -6, -7, -11, -9999, -42} {
		for _, form := range Forms() {
			b := named("business"+strconv.Itoa(code)+"-"+string(form), Business(code, form))
			text := "the service says " + strconv.Itoa(code) + " in form " + string(form)
			out = append(out, newFault(GroupBusiness, text, b))
			if code == -9999 || code == -42 {
				out = append(out, newFault(GroupBusiness, text, b.AfterGrant()))
			}
		}
	}
	return out
}

// credentialFaults answer as the checks do when credentials die. Simulator.SetApp
// and SetClockOffset make them die in truth.
func credentialFaults() []Fault {
	fault := func(name, text string, p problem) Fault {
		return newFault(GroupCredentials, text, problemBehaviour(name, p))
	}
	return []Fault{
		fault("session-expired", "27: the session's time is over", problem{code: 27, subCode: "session-expired"}),
		fault("session-revoked", "27: the merchant took the session back", problem{code: 27, subCode: "invalid-sessionkey"}),
		fault("secret-rotated", "25: signed with the old secret", problem{code: 25}),
		fault("key-removed", "29: the app key is unknown", problem{code: 29, subCode: "isv.appkey-not-exists"}),
		fault("ip-removed", "11: the caller's address is not on the list", problem{
			code: 11, subCode: "isv.permission-ip-whitelist-limit", subMsg: "the ip 192.0.2.7 is not in [198.51.100.0/24]",
		}),
		fault("package-removed", "11: the app may not use the API", problem{code: 11, subCode: "isv.permission-api-package-limit"}),
		fault("level-lowered", "53: the app's security level is too low", problem{code: 53}),
		fault("clock-off", "31: the clocks differ by more than 10 minutes", problem{code: 31}),
	}
}

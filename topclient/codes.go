package topclient

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// verdict is what a code says. The zero verdict is that of an unlisted code,
// once doubt is added: see unlisted.
type verdict struct {
	about          About
	mayHaveGranted bool
	throttled      bool
	business       string
	refusesID      bool
}

// The verdicts that the tables name.
var (
	ofApp        = verdict{about: AboutApp}                           // refused by a check of the platform, before the service
	ofRequest    = verdict{about: AboutRequest}                       // refused, final on a first attempt
	ofID         = verdict{about: AboutRequest, refusesID: true}      // refused for its out_id alone
	throttle     = verdict{about: AboutGateway, throttled: true}      // refused by a limit, before the service
	gatewayDoubt = verdict{about: AboutGateway, mayHaveGranted: true} // the service may have been reached
	unlisted     = verdict{about: AboutUnknown, mayHaveGranted: true} // not understood: never fails a request, never stops the app
)

// How a platform code is judged.
type judgedBy uint8

const (
	byCode     judgedBy = iota
	bySubCode           // the service's own answer: subCodes and business codes
	byArgument          // the message ends with the names of arguments
)

// domainCodes begin the old per-domain codes, all of them "Remote service
// error". 520, 530, 550, 560, 670 were seen.
const domainCodes = 100

// platformCodes lists every code below domainCodes that any documentation or
// recorded answer knows. Whether codes 7 to 34 can follow a call of the service
// is not documented; they are checks of the platform, which come first.
var platformCodes = map[int]struct {
	by      judgedBy
	verdict verdict
	meaning string
}{
	3:  {byCode, unlisted, "upload failed: cannot occur here"},
	4:  {byCode, throttle, "user call limited"},
	5:  {byCode, throttle, "session call limited"},
	6:  {byCode, throttle, "partner call limited"},
	7:  {byCode, throttle, "app call limited: of the day, or of the second"},
	8:  {byCode, throttle, "app call exceeds limited frequency"},
	9:  {byCode, ofApp, "HTTP action not allowed: our bug"},
	10: {byCode, gatewayDoubt, "service currently unavailable; may hide a bad request"},
	11: {byCode, ofApp, "insufficient ISV permissions: API package, or IP not on the white list"},
	12: {byCode, ofApp, "insufficient user permissions"},
	13: {byCode, ofApp, "insufficient partner permissions"},
	15: {bySubCode, unlisted, "remote service error"},
	21: {byCode, ofApp, "missing method"},
	22: {byCode, ofApp, "invalid method: API withdrawn?"},
	23: {byCode, ofApp, "invalid format"},
	24: {byCode, ofApp, "missing signature"},
	25: {byCode, ofApp, "invalid signature: wrong secret?"},
	26: {byCode, ofApp, "missing session"},
	27: {byCode, ofApp, "invalid session: expired, or never authorised"},
	28: {byCode, ofApp, "missing app key"},
	29: {byCode, ofApp, "invalid app key: of another environment?"},
	30: {byCode, ofApp, "missing timestamp"},
	31: {byCode, ofApp, "invalid timestamp: more than 10 minutes off"},
	32: {byCode, ofApp, "missing version"},
	33: {byCode, ofApp, "invalid version"},
	34: {byCode, ofApp, "unsupported version"},
	40: {byArgument, ofApp, "missing required arguments"},
	41: {byArgument, ofApp, "invalid arguments"},
	42: {byCode, unlisted, "forbidden request: only a name in the list of 2012"},
	43: {byCode, unlisted, "parameter error: only a name in the list of 2012"},
	44: {byCode, ofApp, "invalid access token, by another client's code; no page found"},
	45: {byCode, unlisted, "no source found"},
	46: {byCode, unlisted, "no source found"},
	47: {byCode, unlisted, "no source found"},
	50: {bySubCode, unlisted, "remote service error, as the API's page spells it"},
	53: {byCode, ofApp, "insufficient security level: raise the app's, or authorise again"},
}

// subCodes lists the families of sub-codes under 15, 50 and the domain codes. The
// first match counts; a star is any text, but not none. What follows a colon in a
// sub-code is a detail and not compared, and isp. codes are compared without the
// suffix -tmall.
var subCodes = []struct {
	pattern string
	verdict verdict
	meaning string
}{
	{"isp.call-limited", throttle, "the service limits calls"},
	{"isv.BUSINESS_LIMIT_CONTROL", throttle, "the service limits calls"},
	{"isp.*", gatewayDoubt, "timeout, unavailable or error behind the gateway: the service may have been reached"},
	{"isv.missing-parameter", ofRequest, "the service misses a parameter"},
	{"isv.invalid-parameter", ofRequest, "the service refuses a parameter"},
	{"isv.invalid-permission", ofApp, "insufficient permission"},
	{"isv.permission-*", ofApp, "insufficient permission"},
	{"isv.appkey-*", ofApp, "the service does not know the app"},
	{"isv.*-not-exist", ofRequest, "what the request names does not exist"},
}

// businessCodes are the API's own, in the words of its page.
var businessCodes = map[string]struct {
	mayHaveGranted bool
	meaning        string
}{
	BusinessCouponInvalid: {meaning: "the coupon is not valid any more"},
	BusinessOutOfStock:    {meaning: "no coupon is left"},
	BusinessLimitReached:  {meaning: "the member has as many coupons as one may"},
	BusinessException:     {meaning: "business exception"},
	BusinessSystemError:   {mayHaveGranted: true, meaning: "system exception: may come after the grant"},
}

// judgeBusiness decides on what may be one of the API's own codes.
func judgeBusiness(code string) (verdict, bool) {
	row, ok := businessCodes[code]
	return verdict{about: AboutRequest, business: code, mayHaveGranted: row.mayHaveGranted}, ok
}

// requestArguments are the names that make 40 and 41 a matter of the request;
// any other name is a system parameter, and those are ours.
var requestArguments = []string{
	dtoParameter, "biz_code", "open_id", "extra", "channel", "out_id", "uuid", "coupon_type",
}

// judge decides on the code and sub-code of an error envelope. msg serves only
// 40 and 41, which name the argument nowhere else.
func judge(code, subCode, msg string) verdict {
	if v, ok := judgeBusiness(code); ok {
		return v.beside(judgeSubCode(subCode))
	}
	n, err := strconv.Atoi(code)
	if err != nil {
		return unlisted
	}
	if n >= domainCodes {
		return judgeSubCode(subCode)
	}
	row, ok := platformCodes[n]
	switch {
	case !ok:
		return unlisted
	case row.by == bySubCode:
		return judgeSubCode(subCode)
	case n == 41 && slices.Equal(argumentsIn(msg), []string{"out_id"}): // invalid as it is, or used before
		return ofID.beside(judgeSubCode(subCode))
	case row.by == byArgument && namesRequest(argumentsIn(msg)):
		return ofRequest.beside(judgeSubCode(subCode))
	default:
		return row.verdict
	}
}

// beside is the verdict of a refusal of the request with a sub-code next to it. One
// that says nothing, or refuses the request too, leaves it; any other makes the answer
// say two things.
func (v verdict) beside(sub verdict) verdict {
	if sub == unlisted || sub == ofRequest || sub == v {
		return v
	}
	return unlisted
}

func judgeSubCode(subCode string) verdict {
	if v, ok := judgeBusiness(businessIn(subCode)); ok {
		return v
	}
	word, _, _ := strings.Cut(subCode, ":")
	if strings.HasPrefix(word, "isp.") {
		word = strings.TrimSuffix(word, "-tmall")
	}
	for _, row := range subCodes {
		if matches(row.pattern, word) {
			return row.verdict
		}
	}
	return unlisted
}

// businessIn finds what may be a business code: "-7", "isv.-7", "isv.word:-7",
// "isp.word:-7".
func businessIn(subCode string) string {
	word, code, ok := strings.Cut(subCode, ":")
	if !ok {
		return strings.TrimPrefix(subCode, "isv.")
	}
	if len(word) > len("isv.") && (strings.HasPrefix(word, "isv.") || strings.HasPrefix(word, "isp.")) {
		return code
	}
	return ""
}

// matches compares with a pattern that has at most one star.
func matches(pattern, word string) bool {
	head, tail, star := strings.Cut(pattern, "*")
	if !star {
		return word == pattern
	}
	return len(word) > len(head)+len(tail) && strings.HasPrefix(word, head) && strings.HasSuffix(word, tail)
}

// argumentsIn are the names at the end of msg, as in "Missing required
// arguments:nrt_coupon_send_dto.open_id", without the DTO's and what is within a member.
func argumentsIn(msg string) (names []string) {
	colon := strings.LastIndexByte(msg, ':')
	if colon < 0 {
		return nil
	}
	for name := range strings.SplitSeq(msg[colon+1:], ",") {
		member := strings.TrimPrefix(strings.TrimSpace(name), dtoParameter+".")
		member, _, _ = strings.Cut(member, ".")
		names = append(names, member)
	}
	return names
}

// namesRequest says whether names are the DTO or members of it, each of them.
func namesRequest(names []string) bool {
	system := func(name string) bool { return !slices.Contains(requestArguments, name) }
	return len(names) > 0 && !slices.ContainsFunc(names, system)
}

// LongestBan is a day and an hour: more is no ban but a mistake.
const LongestBan = 25 * time.Hour

// banIn reads "This ban will last for N more seconds"; a rest of less than one is a
// second. 0: it does not say.
func banIn(text string) time.Duration {
	start := strings.IndexAny(text, "0123456789")
	if start < 0 {
		return 0
	}
	digits := text[start:]
	if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end]
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n > int(LongestBan/time.Second) || strings.HasSuffix(text[:start], "-") {
		return 0
	}
	return max(time.Duration(n)*time.Second, time.Second)
}

// ownCodes are the words of this package that Error.Code can be.
var ownCodes = []string{
	CodeNotSendable, CodeNoCredentials, CodeCanceled, CodeTimeout, CodeDNS, CodeRefused, CodeTLS,
	CodeConnectTimeout, CodeConnect, CodeConnectionLost, CodeBadBody, CodeNoCode, CodeNoCoupon, CodeAmbiguous,
}

// isListed says whether a code is in a list of this file, or "http-" and a status.
func isListed(code string) bool {
	if status, ok := strings.CutPrefix(code, "http-"); ok {
		n, err := strconv.Atoi(status)
		return err == nil && len(status) == 3 && n >= 100
	}
	if slices.Contains(ownCodes, code) {
		return true
	}
	n, err := strconv.Atoi(code)
	_, ok := platformCodes[n]
	return err == nil && ok && strconv.Itoa(n) == code
}

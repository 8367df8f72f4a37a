package topclient

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Coupon is a granted coupon as the gateway describes it, with raw numbers: the
// units of fees and times are not documented.
type Coupon struct {
	InstanceID int64   // above 0
	TemplateID *int64  // this and the others: nil if missing or not a whole number
	Discount   *int64  // fen, probably
	StartFee   *int64  // fen, probably
	StartTime  *int64  // milliseconds since 1970, probably
	EndTime    *int64  // the same
	Name       *string // personal data of the request never stands in it
	RequestID  string  // the gateway's id of the call; empty if it gave none
	Host       string  // the gateway's machine, as it names itself; empty if it did not
}

// answer is an envelope taken apart, texts still raw.
type answer struct {
	coupon    Coupon // InstanceID 0: none
	ambiguous bool   // it says two things
	refusal   bool   // error_response: code is the platform's
	code      string // empty: none, or "0"
	subCode   string
	msg       string
	subMsg    string
	requestID string
}

// Where siblings of the API put a failure's code and its text; which of them
// this one uses is not documented.
var (
	codeNames    = []string{"code", "err_code", "errcode", "error_code", "result_code"}
	messageNames = []string{"message", "msg", "err_msg", "errmsg", "error_msg", "error_message", "sub_msg"}
	successNames = []string{"success", "succ", "is_success"} // false: it failed
)

const instanceID = "coupon_instance_id"

// takeApart finds the one envelope in a tree that came with an HTTP status. ok is
// false if there is none.
func takeApart(root node, status int) (a answer, ok bool) {
	var r reading
	refusal, success := r.get(root, "error_response"), r.get(root, responseRoot)
	candidates := 0
	for _, found := range []bool{refusal.kind != absent, success.kind != absent, r.isBareSuccess(root, status)} {
		if found {
			candidates++
		}
	}
	switch {
	case candidates == 0 && !r.twice:
		return answer{}, false
	case candidates != 1:
		a = answer{ambiguous: true}
	case refusal.kind != absent:
		a = r.refusal(refusal)
	case success.kind != absent:
		a = r.success(success)
	default:
		a = r.success(root)
	}
	a.ambiguous = a.ambiguous || r.twice
	return a, true
}

// reading looks members up and notes when one stands there twice.
type reading struct{ twice bool }

func (r *reading) get(n node, name string) node {
	var found node
	for i := range n.members { // by index: a member is 64 bytes
		if n.members[i].name == name {
			r.twice = r.twice || found.kind != absent
			found = n.members[i].value
		}
	}
	return found
}

func (r *reading) text(n node, name string) string {
	return strings.TrimSpace(r.get(n, name).text)
}

// isBareSuccess recognises the form of simplify=true, which has no root. We do
// not ask for it, and others have the like: a proxy may answer {"code":-7}, or 503
// with {"result":"error"}. So it has the status of an answer, its model is an object,
// and a bare code is taken for one only beside a request_id.
func (r *reading) isBareSuccess(root node, status int) bool {
	if status != http.StatusOK && status != http.StatusBadRequest {
		return false
	}
	if r.get(root, "model").kind == object || r.get(root, "result").kind == object {
		return true
	}
	return r.text(root, "request_id") != "" && len(r.codes(root)) > 0
}

func (r *reading) refusal(n node) answer {
	return answer{
		refusal:   true,
		code:      notNone(r.text(n, "code")),
		subCode:   r.text(n, "sub_code"),
		msg:       r.text(n, "msg"),
		subMsg:    r.text(n, "sub_msg"),
		requestID: r.text(n, "request_id"),
	}
}

// success reads a success root: {model}, or {result{code,message,model}} as
// siblings have it. A code counts only where nothing claims to be a coupon.
func (r *reading) success(root node) answer {
	a := answer{requestID: r.text(root, "request_id")}
	result := r.get(root, "result")
	model, inner := r.get(root, "model"), r.get(result, "model")
	outside := append(r.codes(root), r.codes(result)...)
	switch {
	case r.claimsCoupon(model) && r.claimsCoupon(inner):
		a.ambiguous = true
	case r.claimsCoupon(model):
		a.coupon = r.coupon(model)
	case r.claimsCoupon(inner):
		a.coupon = r.coupon(inner)
	default:
		a.code = one(append(append(outside, r.codes(model)...), r.codes(inner)...), &a.ambiguous)
		a.msg = r.message(root, result, model, inner)
		return a
	}
	a.ambiguous = a.ambiguous || len(outside) > 0 || a.coupon.InstanceID > 0 && r.denies(root, result, model, inner)
	return a
}

// denies says that an answer with a coupon says as well that there is none.
func (r *reading) denies(root, result, model, inner node) bool {
	failed := func(n node) bool {
		return slices.ContainsFunc(successNames, func(name string) bool { return strings.EqualFold(r.text(n, name), "false") })
	}
	refused := func(code string) bool { // any other code in a model may be the coupon's
		_, listed := judgeBusiness(code)
		return listed
	}
	return slices.ContainsFunc([]node{root, result, model, inner}, failed) ||
		slices.ContainsFunc(append(r.codes(model), r.codes(inner)...), refused)
}

// claimsCoupon says whether a model has, or may have, the id of a coupon: then
// no code beside it proves that nothing was granted.
func (r *reading) claimsCoupon(model node) bool {
	switch model.kind {
	case object:
		return r.get(model, instanceID).kind != absent
	case scalar:
		return !isBlank(model.text)
	case list:
		return true
	case absent:
	}
	return false
}

func (r *reading) coupon(model node) Coupon {
	numbers := new([5]int64) // together, as they live as long as the coupon
	c := Coupon{
		TemplateID: r.number(&numbers[0], model, "coupon_template_id"),
		Discount:   r.number(&numbers[1], model, "discount"),
		StartFee:   r.number(&numbers[2], model, "start_fee"),
		StartTime:  r.number(&numbers[3], model, "start_time"),
		EndTime:    r.number(&numbers[4], model, "end_time"),
	}
	var id int64
	if r.number(&id, model, instanceID) != nil && id > 0 {
		c.InstanceID = id
	}
	// Bytes that are no UTF-8 were replaced: it was written in another encoding.
	if name := r.get(model, "coupon_name"); name.kind == scalar && !strings.ContainsRune(name.text, utf8.RuneError) {
		c.Name = &name.text
	}
	return c
}

// number reads an integer, bare or quoted, to where it is told, or gives nil.
// "1.2e18" is none, and neither is "9007199254740992.0": somebody rounded it.
func (r *reading) number(to *int64, n node, name string) *int64 {
	const exact = 1 << 53 // below it a number with a point is what it was
	whole, zeros, point := strings.Cut(r.text(n, name), ".")
	if point && (zeros == "" || strings.Trim(zeros, "0") != "") {
		return nil
	}
	v, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || point && (v >= exact || v <= -exact) {
		return nil
	}
	*to = v
	return to
}

// codes are the codes a node holds that say something.
func (r *reading) codes(n node) []string {
	var codes []string
	for _, name := range codeNames {
		if code := notNone(r.text(n, name)); code != "" {
			codes = append(codes, code)
		}
	}
	return codes
}

func (r *reading) message(nodes ...node) string {
	for _, n := range nodes {
		for _, name := range messageNames {
			if text := r.text(n, name); text != "" {
				return text
			}
		}
	}
	return ""
}

// one is the code that all codes agree on.
func one(codes []string, ambiguous *bool) string {
	codes = slices.Compact(slices.Sorted(slices.Values(codes)))
	switch len(codes) {
	case 0:
		return ""
	case 1:
		return codes[0]
	default:
		*ambiguous = true
		return ""
	}
}

// notNone empties the codes that mean "no error".
func notNone(code string) string {
	if code == "0" {
		return ""
	}
	return code
}

package topsim

import (
	"slices"
	"strconv"
	"strings"
)

// Form is a way in which the service's own codes (-3, -6, -7, -11, -9999) can
// reach a caller. Which one the real service uses is not documented.
type Form string

const formDefault Form = "F1"

// codeFields are the names under which sibling APIs answer a code.
var codeFields = [...]string{"code", "err_code", "errcode", "error_code", "result_code"}

// Forms lists all forms.
//
//	F1           error envelope 15, sub_code the code as text
//	F1-number    the same, sub_code a number
//	F1-50 F1-520 the same under platform code 50 or 520
//	F2           error envelope whose code it is
//	F3-isv       sub_code isv.<code>
//	F3-isv-word  sub_code isv.coupon-send-fail:<code>
//	F3-isp-word  sub_code isp.coupon-send-fail:<code>
//	F4-<field>   success root without model; <field> (code, err_code, errcode, error_code, result_code) is the number
//	F4-<field>-text  the same as text
//	F5           success root with result{code, message}, code as text
//	F5-number    the same, code a number
//	F6           model without coupon_instance_id, but with code as number
//	F6-text      the same as text
func Forms() []Form {
	out := []Form{formDefault, "F1-number", "F1-50", "F1-520", "F2", "F3-isv", "F3-isv-word", "F3-isp-word"}
	for _, field := range codeFields {
		out = append(out, Form("F4-"+field), Form("F4-"+field+"-text"))
	}
	return append(out, "F5", "F5-number", "F6", "F6-text")
}

func formList() string {
	var names []string
	for _, f := range Forms() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

func knownForm(f Form) bool { return slices.Contains(Forms(), f) }

// businessText is what the API's page says of a code.
func businessText(code int) string {
	switch code {
	case -3:
		return "优惠券无效,请联系客服~"
	case -6:
		return "优惠券已领完,下次早点喔~"
	case -7:
		return "领取太多了,不要贪心~"
	case -11:
		return "业务异常"
	case -9999:
		return "系统异常"
	default:
		return "未知异常"
	}
}

// businessRoot is the root of an answer that says code in form f.
func businessRoot(f Form, code int, requestID member) member {
	word, tail, _ := strings.Cut(string(f), "-")
	switch word {
	case "F2":
		return errorMembers(code, textMember("sub_msg", businessText(code)), requestID)
	case "F3":
		return errorMembers(15, textMember("sub_code", prefixed(tail, code)), textMember("sub_msg", businessText(code)), requestID)
	case "F4":
		field, asText := strings.CutSuffix(tail, "-text")
		return objectMember(responseRoot, codeMember(field, code, asText), textMember("message", businessText(code)), requestID)
	case "F5":
		result := objectMember("result", codeMember("code", code, tail != "number"), textMember("message", businessText(code)))
		return objectMember(responseRoot, result, requestID)
	case "F6":
		refused := objectMember("model", codeMember("code", code, tail == "text"), textMember("message", businessText(code)))
		return objectMember(responseRoot, refused, requestID)
	default:
		platform, err := strconv.Atoi(tail)
		if err != nil {
			platform = 15
		}
		return errorMembers(platform, codeMember("sub_code", code, tail != "number"), textMember("sub_msg", businessText(code)), requestID)
	}
}

func errorMembers(code int, more ...member) member {
	head := []member{numberMember("code", int64(code)), textMember("msg", platformMessage(code))}
	return objectMember(errorRoot, append(head, more...)...)
}

func codeMember(name string, code int, asText bool) member {
	if asText {
		return textMember(name, strconv.Itoa(code))
	}
	return numberMember(name, int64(code))
}

func prefixed(tail string, code int) string {
	kind, _, hasWord := strings.Cut(tail, "-")
	if hasWord {
		return kind + ".coupon-send-fail:" + strconv.Itoa(code)
	}
	return kind + "." + strconv.Itoa(code)
}

package topsim

import (
	"slices"
	"strconv"
)

// envelopeFaults spell answers in other ways, some legal, some not. Those about
// the success envelope strike after the grant.
func envelopeFaults() []Fault {
	var out []Fault
	add := func(name, text string, edit func(doc *document, c *call)) {
		out = append(out, newFault(GroupEnvelope, text, editBehaviour(name, edit)))
	}
	add("xml", "XML though JSON was asked for", func(d *document, _ *call) { d.xml = true })
	add("xml-comment", "XML with the host in a comment at its end", func(d *document, _ *call) {
		d.xml, d.tail = true, "<!--"+hostName+"-->"
	})
	add("simplified", "without the root, though simplify was not asked for", func(d *document, _ *call) { d.simplify = true })
	add("not-simplified", "with the root, though simplify was asked for", func(d *document, _ *call) { d.simplify = false })
	add("wrong-root", "the root of another API", func(d *document, _ *call) { d.roots[0].name = "tmall_nrt_newcoupon_send_response" })
	add("both-roots", "a success and an error in one", func(d *document, _ *call) {
		d.roots = append(d.roots, errorMembers(15, textMember("sub_code", "isp.unknown-error")))
	})
	add("unknown-members", "members that no page lists", func(d *document, _ *call) {
		d.roots[0].members = append(d.roots[0].members, textMember("trace", "a/b"), objectMember("ext", numberMember("n", 1)))
	})
	add("no-request-id", "without request_id", func(d *document, _ *call) { d.roots[0].drop("request_id") })
	add("result-wrapper", "the model in result{code: 0}, as sibling APIs have it", func(d *document, _ *call) {
		wrapped := objectMember("result", textMember("code", "0"), textMember("message", "success"))
		if m := d.child("model"); m != nil {
			wrapped.members = append(wrapped.members, *m)
			d.roots[0].drop("model")
		}
		d.roots[0].members = append(d.roots[0].members, wrapped)
	})
	return slices.Concat(out, modelFaults(), errorFaults())
}

// modelFaults are about the coupon in a success envelope.
func modelFaults() []Fault {
	var out []Fault
	add := func(name, text string, edit func(m *member)) {
		out = append(out, newFault(GroupEnvelope, text, editBehaviour(name, func(d *document, _ *call) {
			if m := d.child("model"); m != nil {
				edit(m)
			}
		})))
	}
	instance := func(value string) func(m *member) {
		return func(m *member) { m.set("coupon_instance_id", bare, value) }
	}
	add("ids-quoted", "numbers as texts", func(m *member) {
		for i := range m.members {
			m.members[i].kind = text
		}
	})
	add("ids-float", "numbers as 7.09e+18", func(m *member) {
		for i := range m.members {
			if n, err := strconv.ParseFloat(m.members[i].value, 64); err == nil {
				m.members[i].value = strconv.FormatFloat(n, 'e', -1, 64)
			}
		}
	})
	add("raw-tabs", "control characters in a text, which JSON forbids", func(m *member) {
		m.set("coupon_name", rawText, "测试券\t满100\n减10")
	})
	add("instance-duplicate", "two different coupon_instance_id", func(m *member) {
		m.members = append(m.members, numberMember("coupon_instance_id", 12344))
	})
	add("instance-zero", "coupon_instance_id 0", instance("0"))
	add("instance-negative", "coupon_instance_id below 0", instance("-7091800003790954036"))
	add("instance-too-large", "coupon_instance_id beyond 64 bits", instance("18446744073709551617"))
	add("instance-null", "coupon_instance_id null", instance("null"))
	add("no-instance", "a model without coupon_instance_id", func(m *member) { m.drop("coupon_instance_id") })
	add("model-null", "model null", func(m *member) { m.kind, m.value, m.members = bare, "null", nil })
	out = append(out, newFault(GroupEnvelope, "a success without model", editBehaviour("no-model", func(d *document, _ *call) {
		d.roots[0].drop("model")
	})))
	return out
}

func (m *member) set(name string, k kind, value string) {
	if child := m.child(name); child != nil {
		child.kind, child.value, child.members = k, value, nil
	}
}

// errorFaults are about the error envelope: the call is refused, before the
// grant, in an odd spelling.
func errorFaults() []Fault {
	var out []Fault
	add := func(name, text string, p problem, edit func(d *document, c *call)) {
		b := problemBehaviour(name, p)
		b.edit = edit
		out = append(out, newFault(GroupEnvelope, text, b))
	}
	add("error-xml-args", "an XML error that repeats every parameter, the session too", problem{code: 27, subCode: "invalid-sessionkey"},
		func(d *document, c *call) {
			d.xml, d.tail = true, "<!--"+hostName+"-->"
			d.roots[0].members = append(d.roots[0].members, echo(c))
		})
	add("error-no-request-id", "an error without request_id", problem{code: 40, detail: dtoName},
		func(d *document, _ *call) { d.roots[0].drop("request_id") })
	add("error-code-text", "an error whose code is a text", problem{code: 15, subCode: "isp.system-busy"},
		func(d *document, _ *call) { d.roots[0].set("code", text, "15") })
	add("error-no-code", "an error without code", problem{code: 15, subMsg: "unknown"},
		func(d *document, _ *call) { d.roots[0].drop("code") })
	add("error-sub-code-number", "an error whose sub_code is a number", problem{code: 15, subCode: "2401"},
		func(d *document, _ *call) { d.roots[0].set("sub_code", bare, "2401") })
	add("error-entities", "an error with XML entities in its text", problem{code: 15, subCode: "isp.service-error", subMsg: "don&apos;t &lt;retry&gt;"}, nil)
	add("error-raw-tabs", "an error with control characters, which JSON forbids", problem{code: 15, subCode: "isp.service-error", subMsg: "-"},
		func(d *document, _ *call) { d.roots[0].set("sub_msg", rawText, "busy\tnow\r\n") })
	return out
}

// echo is what old gateways put into errors. The sign is never echoed.
func echo(c *call) member {
	args := objectMember(`args list="true"`)
	for _, p := range c.params {
		if p.name != "sign" {
			args.members = append(args.members, objectMember("arg", textMember("key", p.name), textMember("value", p.value)))
		}
	}
	return args
}

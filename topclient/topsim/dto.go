package topsim

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// dtoName is the parameter that holds the dto.
const dtoName = "nrt_coupon_send_dto"

// dto is the business content of a call.
type dto struct {
	bizCode, openID, extra, channel, outID, uuid string
	couponType                                   int64
}

// parseDTO reads the JSON text of a dto. bad names the first member that is
// wrong, or the whole. Names are exact, unlike those of encoding/json's structs:
// an OUT_ID is no out_id to the real gateway.
func parseDTO(text string, couponTypes []int64) (d dto, bad string) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var members map[string]any
	if err := decoder.Decode(&members); err != nil || members == nil {
		return dto{}, dtoName
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return dto{}, dtoName
	}
	for _, m := range [...]struct {
		name string
		into *string
	}{
		{"biz_code", &d.bizCode},
		{"open_id", &d.openID},
		{"channel", &d.channel},
		{"out_id", &d.outID},
		{"uuid", &d.uuid},
	} {
		value, isText := members[m.name].(string)
		if !isText || blank(value) {
			bad = cmp.Or(bad, m.name)
			continue
		}
		*m.into = value
	}
	extra, isText := members["extra"].(string)
	if members["extra"] != nil && !isText {
		bad = cmp.Or(bad, "extra")
	}
	d.extra = extra
	number, _ := members["coupon_type"].(json.Number)
	kind, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil || !slices.Contains(couponTypes, kind) {
		bad = cmp.Or(bad, "coupon_type")
	}
	d.couponType = kind
	return d, bad
}

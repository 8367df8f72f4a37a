package proof

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/coupongrant/coupongrant/schemas"
)

func TestContentIsWhatTheGatewayIsAskedFor(t *testing.T) {
	empty := ""
	request := func(change func(*schemas.Request)) string {
		r := schemas.Request{RequestID: "r", BizCode: "b", OpenID: schemas.NewOpenID("o"), Channel: "c", CouponCode: "u", CouponType: 276}
		change(&r)
		return string(AppendContent(nil, &r))
	}
	same := request(func(*schemas.Request) {})
	require.Equal(t, same, request(func(r *schemas.Request) { r.RequestID, r.OccurredAt, r.Trigger = "s", start, &schemas.Trigger{} }))
	seen := map[string]bool{same: true}
	for _, change := range []func(*schemas.Request){
		func(r *schemas.Request) { r.BizCode = "x" },
		func(r *schemas.Request) { r.OpenID = schemas.NewOpenID("x") },
		func(r *schemas.Request) { r.Channel = "x" },
		func(r *schemas.Request) { r.CouponCode = "x" },
		func(r *schemas.Request) { r.CouponType = 247 },
		func(r *schemas.Request) { r.Extra = &empty },
		func(r *schemas.Request) { r.BizCode, r.Channel = "bc", "" },
	} {
		seen[request(change)] = true
	}
	require.Len(t, seen, 8)
}

package topsim

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

// Made by the official Java SDK and agreed with by Python, Node and Go.
func TestSignatureVectors(t *testing.T) {
	a := []param{
		{"v", "2.0"},
		{"app_key", "test"},
		{"fields", "nick"},
		{"format", "xml"},
		{"method", "taobao.user.seller.get"},
		{"session", "test"},
		{"timestamp", "2013-05-06 13:52:03"},
	}
	content := `{"biz_code":"YXX","channel":"app","coupon_type":247,"extra":"{\"store\":\"上海南京东路店\",\"note\":\"满100减10 a/b & c+d=é\"}",` +
		`"open_id":"AAHd5d-EAAeGwJedwSHpg8bT","out_id":"cg-20260401-000001","uuid":"fsdfsfee1f2"}`
	b := []param{
		{"session", "6100e23cd5e0f4bd8c7a1"},
		{"app_key", "12345678"},
		{"format", "json"},
		{"method", Method},
		{"timestamp", "2026-04-01 09:30:00"},
		{"v", "2.0"},
		{dtoName, content},
	}
	own := []param{{"partner_id", "coupongrant-1.0"}, {"simplify", "true"}}
	java := []param{{"partner_id", "top-sdk-java-dynamicVersionNo"}}
	blanks := []param{{"empty", ""}, {"blank", " \t"}, {"sign", "ABC"}}
	const secretB = "helloworld-secret-0123456789abcd"

	for _, tt := range []struct {
		name, method, secret string
		params               [][]param
		text                 string
		want                 string
	}{
		{"A md5", "md5", "test", [][]param{a}, "9dd71fa08546e82ea1fc4070a2d4a8751993f8d790875b3df3fce9fe4352babc", "72CB4D809B375A54502C09360D879C64"},
		{"A hmac", "hmac", "test", [][]param{a}, "61dfced3c6a228319a46ad51824a003f09768ed6dadb67aeadd2ebb9db36066b", "FA15A9D5B42AB2D6F3397843851ED09A"},
		{"A hmac-sha256", "hmac-sha256", "test", [][]param{a}, "fb2d66a0b4fb435e00a12b5aa12916f83bb9718e6cbb2dc4ea6d6791fc4bbec2", "267B9C1C7A2FE1CE413DBB95E596616D32107AE0992BE2C22143CFCE303E8E34"},
		{"B md5", "md5", secretB, [][]param{b, own}, "aacea70bda009b83f1fd60d254f58c2c303ac81eb76affc5fd736c264f6d179c", "C4CEDF4FAB17EE2C5BACA779BA2A73CB"},
		{"B md5, blanks are not signed", "md5", secretB, [][]param{b, own, blanks}, "aacea70bda009b83f1fd60d254f58c2c303ac81eb76affc5fd736c264f6d179c", "C4CEDF4FAB17EE2C5BACA779BA2A73CB"},
		{"B hmac", "hmac", secretB, [][]param{b, own}, "7a095c1c4e42edb7f2a1afc2b25f2e9e41eeef9d713951265937e697ea443ab7", "B796073BCA8FC22AFF285B1A86380D55"},
		{"B hmac-sha256", "hmac-sha256", secretB, [][]param{b, own}, "7112c149d83e52f33daa24bf21a0c9adaa86fd7cacd9da83ec5f7baf25641c46", "FC904B64450103AA5BC1CFF3E5536407A02E741CA6F8C5A55020C049F9178CC0"},
		{"C off the wire", "hmac-sha256", secretB, [][]param{b, java}, "", "52118ED2CDD3AD619F0BE2C1DCD77CD485D8027D0437A9D93EF08575249B0D15"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := []param{{"sign_method", tt.method}}
			for _, some := range tt.params {
				all = append(all, some...)
			}
			sign, ok := signature(tt.method, tt.secret, all)
			require.True(t, ok)
			require.Equal(t, tt.want, sign)
			sum := sha256.Sum256(signedText(all))
			require.Contains(t, hex.EncodeToString(sum[:]), tt.text)
		})
	}
}

func TestSignatureUnknownMethod(t *testing.T) {
	_, ok := signature("sha1", "secret", nil)
	require.False(t, ok)
}

package topsim

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseForm(t *testing.T) {
	for _, tt := range []struct {
		name, query, body string
		want              []param
		err               error
	}{
		{"nothing", "", "", []param{}, nil},
		{"query and body", "a=1", "b=2", []param{{"a", "1"}, {"b", "2"}}, nil},
		{"encoded", "", "a+b=%E6%B5%8B+%2B%3D%26", []param{{"a b", "测 +=&"}}, nil},
		{"no value", "a&b=", "", []param{{"a", ""}, {"b", ""}}, nil},
		{"equals in a value", "a=b=c", "", []param{{"a", "b=c"}}, nil},
		{"empty pairs", "&&a=1&", "", []param{{"a", "1"}}, nil},
		{"twice", "a=1", "a=1", nil, errTwice},
		{"twice when decoded", "", "a=1&%61=2", nil, errTwice},
		{"cut escape", "", "a=%E", nil, errEscape},
		{"wrong escape", "", "a=%zz", nil, errEscape},
		{"escape in a name", "", "%=1", nil, errEscape},
		{"GBK", "", "a=%B2%E2", nil, errNotUTF8},
		{"GBK as it is", "", "a=\xb2\xe2", nil, errNotUTF8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseForm(tt.query, tt.body)
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.want, got)
		})
	}
}

// What must hold: no panic; names are different; what is taken is what net/url
// reads from the same text; and writing it again gives the same parameters.
func FuzzParseForm(f *testing.F) {
	f.Add("", newParams("out-1", time.Unix(0, 0)).signed(DemoAppSecret).form())
	f.Add("a=1&b=%E6%B5%8B", "c=+%2B&d&&=")
	f.Add("a=%", "%61=1&a=2")
	f.Add("a;b=1", "\xff=%ff")
	f.Fuzz(func(t *testing.T, query, body string) {
		got, err := parseForm(query, body)
		if err != nil {
			return
		}
		values := url.Values{}
		for _, p := range got {
			require.False(t, values.Has(p.name))
			values.Set(p.name, p.value)
		}
		again, err := parseForm("", values.Encode())
		require.NoError(t, err)
		require.ElementsMatch(t, got, again)
		theirs, err := url.ParseQuery(query + "&" + body)
		if err == nil { // net/url refuses semicolons
			require.Equal(t, theirs, values)
		}
	})
}

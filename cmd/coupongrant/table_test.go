package main

import (
	"encoding/csv"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTableAsCSVIsReadBackAsItWas(t *testing.T) {
	values := []string{"plain", "", "a,b", `say "hi"`, "two\nlines", " led by a space", "店", "-7", `\.`}
	tab := table{columns: []column{{name: "one"}, {name: "two"}}}
	for _, v := range values {
		tab.rows = append(tab.rows, []cell{textCell(v), countCell(1234567)})
	}
	var out strings.Builder
	require.NoError(t, tab.writeCSV(&out))
	require.True(t, strings.HasPrefix(out.String(), "one,two\r\nplain,1234567\r\n,1234567\r\n\"a,b\",1234567\r\n\"say \"\"hi\"\"\",1234567\r\n"), out.String())
	require.Equal(t, 1+len(values), strings.Count(out.String(), "\r\n"), "a line feed in a value stays one")

	read, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	require.NoError(t, err)
	for i, v := range values {
		require.Equal(t, []string{v, "1234567"}, read[i+1])
	}
}

func TestTableIsAlignedAsTerminalsShowIt(t *testing.T) {
	tab := table{
		title: []string{"Title"}, columns: []column{{name: "store_id"}, {name: "n", label: "count", right: true}},
		rows:  [][]cell{{textCell("S1"), countCell(1)}, {textCell("南京西路"), countCell(-1234)}, {textCell(""), countCell(0)}, {textCell("\x1b[2J"), countCell(2)}},
		total: []cell{{text: "all"}, countCell(-1231)}, notes: []string{"note"},
	}
	var out strings.Builder
	require.NoError(t, tab.writeText(&out))
	require.Equal(t, `Title

store id    count
S1              1
南京西路   -1,234
-               0
"\x1b[2J"       2
all        -1,231

note
`, out.String())
}

func TestTableWithoutRowsSaysSo(t *testing.T) {
	var out strings.Builder
	require.NoError(t, (&table{title: []string{"Title"}, columns: []column{{name: "a"}}, empty: "Nothing."}).writeText(&out))
	require.Equal(t, "Title\n\nNothing.\n", out.String())
}

func TestCells(t *testing.T) {
	require.Equal(t, cell{"9223372036854775807", "9,223,372,036,854,775,807"}, countCell(math.MaxInt64))
	require.Equal(t, cell{"-9223372036854775808", "-9,223,372,036,854,775,808"}, countCell(math.MinInt64))
	require.Equal(t, cell{"", "-"}, sumCell(nil))
	require.Equal(t, cell{"18446744073709551614", "18,446,744,073,709,551,614"}, sumCell(new(big.Int).Mul(big.NewInt(math.MaxInt64), big.NewInt(2))))
	shanghai, err := time.LoadLocation(defaultZone)
	require.NoError(t, err)
	require.Equal(t, cell{"2026-11-10T16:00:00.007Z", "2026-11-11 00:00:00"}, momentCell(time.Date(2026, 11, 10, 16, 0, 0, 7e6, time.UTC).UnixMilli(), shanghai))
	for ms, want := range map[int64]string{
		0: "0s", 7: "7ms", -250: "-250ms", 1234: "1.234s", 12_345: "12.3s", 61_400: "1m1s", 7_200_000: "2h0m0s",
		3 * 86_400_000: "3.0 days", math.MaxInt64: "106751991167.3 days", math.MinInt64: "-106751991167.3 days",
	} {
		require.Equal(t, cell{countCell(ms).csv, want}, waitCell(ms))
	}
}

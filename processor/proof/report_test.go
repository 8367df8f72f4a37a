package proof

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Programs rely on these names: whoever adds one writes it down.
func TestReportMembersAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/audit.md")
	require.NoError(t, err)
	names := []string{"verdict", string(Balanced), string(Violated), string(Unfinished)}
	for _, kind := range []Kind{
		Lost, Doubled, NoSource, MalformedSource, Mismatch, Altered, Unreadable, Untrue, GrantedTwice, CommittedBeyondEnd,
	} {
		names = append(names, string(kind))
	}
	for _, v := range []any{Report{}, Findings{}, Finding{}, Unread{}, LedgerTotals{}} {
		for field := range reflect.TypeOf(v).Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			require.NotEmpty(t, name, field.Name)
			names = append(names, name)
		}
	}
	for _, name := range names {
		require.Contains(t, string(page), "`"+name+"`")
	}
}

// Command check holds a dashboard against the types that Grafana generates from its
// own schemas: members that it does not know, that it needs, or of another type. A
// module of its own, so that the program does not depend on them.
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	plugins.RegisterDefaultPlugins() // or the options of panels and queries are taken as they are
	var d dashboard.Dashboard
	if err := d.UnmarshalJSONStrict(text); err != nil && err.Error() != "" { // v0.0.22 returns an empty list as an error
		return fmt.Errorf("%s is no dashboard of Grafana's: %w", file, err)
	}
	return d.Validate()
}

package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const composeFile = "../../deploy/compose.yaml"

// The image has no folder to write to, and an audit of many requests needs one: so has each service of the program,
// and user 65532 may write to it.
func TestComposeServicesHaveATmp(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Build    any
			ReadOnly bool `yaml:"read_only"`
			Tmpfs    []string
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(fileText(t, composeFile)), &file))
	ours := 0
	for name, service := range file.Services {
		if service.Build == nil {
			continue
		}
		ours++
		require.True(t, service.ReadOnly, name)
		require.Len(t, service.Tmpfs, 1, name)
		require.Regexp(t, "^/tmp:mode=1777,size=[0-9]+m$", service.Tmpfs[0], name)
	}
	require.Equal(t, 5, ours)
}

package check

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

const (
	kubeconform = root + "/.cache/kubeconform"
	schemas     = root + "/.cache/kubernetes-schemas"
	crds        = root + "/.cache/crds"
)

// The oldest Kubernetes that the chart says it is for, and the newest that there are schemas of.
var clusters = []string{"1.31.0", "1.37.0"}

// conform is what kubeconform says of manifests in strict mode; every object must be known to it.
func conform(t *testing.T, version, crdSchemas, manifests string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), kubeconform, "-strict", "-summary", "-kubernetes-version", version,
		"-schema-location", schemas+"/v"+version+"-local-strict/{{ .ResourceKind }}{{ .KindSuffix }}.json",
		"-schema-location", crdSchemas+"/{{ .ResourceKind }}{{ .KindSuffix }}.json")
	cmd.Stdin = strings.NewReader(manifests)
	said, err := cmd.CombinedOutput()
	return string(said), err
}

func TestManifestsConformStrictly(t *testing.T) {
	crdSchemas := strictSchemas(t)
	for _, values := range valueFiles(t) {
		for _, version := range clusters {
			t.Run(filepath.Base(values)+" on "+version, func(t *testing.T) {
				documents := render(t, values, "--kube-version", version)
				said, err := conform(t, version, crdSchemas, strings.Join(documents, "\n---\n"))
				require.NoError(t, err, said)
				require.Contains(t, said, "Skipped: 0")
			})
		}
	}
}

// The check sees mistakes in each kind of object, those of operators too.
func TestConformRefuses(t *testing.T) {
	crdSchemas := strictSchemas(t)
	for from, to := range map[string]string{
		"\n  serviceName:":           "\n  servicename:",
		"\n  podManagementPolicy:":   "\n  podManagement:",
		"\n  clusterIP: None":        "\n  clusterip: None",
		"\n  maxUnavailable: 25%":    "\n  maxUnavailable: [1]",
		"\n  policyTypes:":           "\n  policies:",
		"\n      path: /metrics":     "\n      paths: /metrics",
		"\n  endpoints:":             "\n  ends:",
		"\n    - alert: CouponGrant": "\n    - alarm: CouponGrant",
		"\n      for: 1m\n":          "\n      for: a while\n",
	} {
		refusedOnceChanged(t, crdSchemas, "all-values.yaml", from, to)
	}
	for from, to := range map[string]string{
		"\n  minReplicaCount:":     "\n  minReplicas:",
		"\n    - type: prometheus": "\n    - kind: prometheus",
	} {
		refusedOnceChanged(t, crdSchemas, "autoscaled-values.yaml", from, to)
	}
}

func refusedOnceChanged(t *testing.T, crdSchemas, values, from, to string) {
	t.Helper()
	t.Run(strings.TrimSpace(to), func(t *testing.T) {
		good := strings.Join(render(t, chart+"/ci/"+values), "\n---\n")
		require.Contains(t, good, from)
		said, err := conform(t, clusters[1], crdSchemas, strings.Replace(good, from, to, 1))
		require.Error(t, err, said)
		require.Contains(t, said, "Invalid: 1")
	})
}

// strictSchemas makes JSON schemas of the operators' own definitions of their kinds, in which nothing may stand
// that they do not know. The cluster itself would drop that in silence.
func strictSchemas(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	files, err := filepath.Glob(crds + "/*.yaml")
	require.NoError(t, err)
	require.Len(t, files, 3)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var definition apiextensionsv1.CustomResourceDefinition
		require.NoError(t, yaml.Unmarshal(text, &definition))
		group, _, _ := strings.Cut(definition.Spec.Group, ".")
		for _, version := range definition.Spec.Versions {
			raw, err := json.Marshal(version.Schema.OpenAPIV3Schema)
			require.NoError(t, err)
			var schema map[string]any
			require.NoError(t, json.Unmarshal(raw, &schema))
			schema["properties"].(map[string]any)["metadata"] = map[string]any{"type": "object"}
			closeObjects(schema)
			text, err := json.Marshal(schema)
			require.NoError(t, err)
			name := strings.ToLower(definition.Spec.Names.Kind) + "-" + group + "-" + version.Name + ".json"
			require.NoError(t, os.WriteFile(filepath.Join(folder, name), text, 0o600))
		}
	}
	return folder
}

func closeObjects(schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	_, open := schema["additionalProperties"]
	if preserve, _ := schema["x-kubernetes-preserve-unknown-fields"].(bool); properties != nil && !open && !preserve {
		schema["additionalProperties"] = false
	}
	for _, property := range properties {
		closeObjects(property.(map[string]any))
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if inner, ok := schema[key].(map[string]any); ok {
			closeObjects(inner)
		}
	}
}

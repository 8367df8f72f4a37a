package check

import (
	"bytes"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// What `make helm-test` has put in place.
const (
	root       = "../../.."
	chart      = "../coupongrant"
	helm       = root + "/.cache/helm"
	binary     = root + "/bin/coupongrant"
	configPath = "coupongrant.yaml"
)

// helmRun runs helm; what it says is returned as well if it fails.
func helmRun(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := filepath.Abs(helm)
	require.NoError(t, err)
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String() + stderr.String(), err
	}
	return stdout.String(), nil
}

// valueFiles are the matrix: each is a way of installing the chart.
func valueFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(chart + "/ci/*-values.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 4)
	return files
}

// render is what the chart makes of values, document by document.
func render(t *testing.T, values string, more ...string) []string {
	t.Helper()
	text, err := helmRun(t, append([]string{"template", "grants", chart, "--namespace", "shop", "--values", values}, more...)...)
	require.NoError(t, err, text)
	var documents []string
	for _, document := range bytes.Split([]byte("\n"+text), []byte("\n---")) {
		if kindOf(t, string(document)) != "" {
			documents = append(documents, string(document))
		}
	}
	require.NotEmpty(t, documents)
	return documents
}

func kindOf(t *testing.T, document string) string {
	t.Helper()
	var of struct{ Kind string }
	require.NoError(t, yaml.Unmarshal([]byte(document), &of), document)
	return of.Kind
}

// one finds the only document of a kind, and reads it into what it is, strictly.
func one[T any](t *testing.T, documents []string, kind string) T {
	t.Helper()
	var found []T
	for _, document := range documents {
		if kindOf(t, document) == kind {
			var into T
			require.NoError(t, yaml.UnmarshalStrict([]byte(document), &into), document)
			found = append(found, into)
		}
	}
	require.Len(t, found, 1, kind)
	return found[0]
}

func count(t *testing.T, documents []string, kind string) (n int) {
	t.Helper()
	for _, document := range documents {
		if kindOf(t, document) == kind {
			n++
		}
	}
	return n
}

func TestChartIsLintedStrictly(t *testing.T) {
	for _, values := range valueFiles(t) {
		text, err := helmRun(t, "lint", chart, "--strict", "--values", values)
		require.NoError(t, err, text)
	}
}

// What is wrong is refused before anything reaches a cluster, in words that name it.
func TestSchemaRefusesWhatCannotWork(t *testing.T) {
	good := chart + "/ci/least-values.yaml"
	_, err := helmRun(t, "template", "grants", chart, "--values", good)
	require.NoError(t, err, "what is refused below is not refused for something else")
	for set, told := range map[string]string{
		"replicaCount=many":                    "replicaCount",
		"replicaCount=-1":                      "replicaCount",
		"replicas=3":                           "replicas",
		"config.kafka.brokers=null":            "brokers",
		"config.kafka.brokers={kafka-1}":       "brokers",
		"config.registry.url=registry:8081":    "registry",
		"config.gateway.app_key=":              "app_key",
		"config.gateway.app_secret=x":          "app_secret",
		"config.gateway.session=x":             "session",
		"config.kafka.sasl.password=x":         "password",
		"config.kafka.transactional_id=x":      "transactional_id",
		"config.admin.listen=0.0.0.0:1":        "admin",
		"credentials.existingSecret=":          "existingSecret",
		"image.digest=sha256:12":               "digest",
		"podSecurityContext.runAsUser=0":       "runAsUser",
		"podSecurityContext.sysctls={x}":       "sysctls",
		"securityContext.privileged=true":      "securityContext",
		"resources.limits.memory=1Gi":          "memory",
		"resources.limits.memory=null":         "memory",
		"autoscaling.enabled=true":             "prometheusAddress",
		"autoscaling.minReplicas=0":            "minReplicas",
		"podDisruptionBudget.maxUnavailable=0": "maxUnavailable",
		"networkPolicy.egress[0].ports={0}":    "ports",
		"mounts[0].name=Kafka":                 "mounts",
	} {
		t.Run(set, func(t *testing.T) {
			text, err := helmRun(t, "template", "grants", chart, "--values", good, "--set", set)
			require.Error(t, err, text)
			require.Contains(t, text, told)
			require.Contains(t, text, "schema", "it is the schema that refuses")
		})
	}
}

// The settings that the chart writes are settings that the program takes.
func TestProgramTakesTheSettings(t *testing.T) {
	for _, values := range valueFiles(t) {
		t.Run(filepath.Base(values), func(t *testing.T) {
			documents := render(t, values, "--set", "dashboards.enabled=false")
			text := withFiles(t, one[corev1.ConfigMap](t, documents, "ConfigMap").Data[configPath])
			said, err := configPrint(t, text)
			require.NoError(t, err, said)
			require.Contains(t, said, ":8080")
			said, err = configPrint(t, text+"\nno_such_key: 1\n")
			require.Error(t, err, said)
		})
	}
}

// withFiles puts a file in the place of each that would be mounted.
func withFiles(t *testing.T, settings string) string {
	t.Helper()
	folder := t.TempDir()
	settings = strings.ReplaceAll(settings, "/etc/coupongrant", folder)
	for _, file := range regexp.MustCompile(regexp.QuoteMeta(folder)+`\S+`).FindAllString(settings, -1) {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		content := []byte("secret")
		if filepath.Ext(file) == ".crt" {
			content = certificate(t)
		}
		require.NoError(t, os.WriteFile(file, content, 0o600))
	}
	return settings
}

func certificate(t *testing.T) []byte {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func configPrint(t *testing.T, settings string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), configPath)
	require.NoError(t, os.WriteFile(file, []byte(settings), 0o600))
	said, err := exec.CommandContext(t.Context(), binary, "config", "print", "--config", file).CombinedOutput()
	return string(said), err
}

// Rules and dashboard are those of deploy/: the chart has no copies of its own.
func TestRulesAndDashboardAreTheOnesOfDeploy(t *testing.T) {
	documents := render(t, chart+"/ci/all-values.yaml")
	rule := one[struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       any            `json:"spec"`
	}](t, documents, "PrometheusRule")
	require.Equal(t, yamlFile(t, root+"/deploy/prometheus/rules.yaml"), rule.Spec)
	var dashboard corev1.ConfigMap
	for _, document := range documents {
		if kindOf(t, document) == "ConfigMap" {
			var candidate corev1.ConfigMap
			require.NoError(t, yaml.UnmarshalStrict([]byte(document), &candidate))
			if candidate.Name == "grants-coupongrant-dashboards" {
				dashboard = candidate
			}
		}
	}
	want, err := os.ReadFile(root + "/deploy/grafana/coupongrant.json")
	require.NoError(t, err)
	require.JSONEq(t, string(want), dashboard.Data["coupongrant.json"])
}

func yamlFile(t *testing.T, name string) (value any) {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &value))
	return value
}

// The name of a replica is what brokers know it by, and rights are given by the
// group's name before it.
func TestReplicasHaveLastingNames(t *testing.T) {
	set := one[appsv1.StatefulSet](t, render(t, chart+"/ci/all-values.yaml"), "StatefulSet")
	env := map[string]string{}
	for _, v := range set.Spec.Template.Spec.Containers[0].Env {
		env[v.Name] = v.Value
	}
	require.Equal(t, "coupons-$(POD_NAMESPACE)-$(POD_NAME)", env["COUPONGRANT_KAFKA_TRANSACTIONAL_ID"])
	require.Equal(t, "921MiB", env["GOMEMLIMIT"])
	require.Equal(t, int32(6), *set.Spec.Replicas)
}

func TestAutoscalerAloneDecidesHowManyReplicas(t *testing.T) {
	documents := render(t, chart+"/ci/autoscaled-values.yaml")
	require.Nil(t, one[appsv1.StatefulSet](t, documents, "StatefulSet").Spec.Replicas)
	require.Equal(t, 1, count(t, documents, "ScaledObject"))
	require.Zero(t, count(t, render(t, chart+"/ci/all-values.yaml"), "ScaledObject"))
}

// The matrix has every kind of object that the chart can make, or some would go unseen.
func TestMatrixShowsEveryTemplate(t *testing.T) {
	templates, err := filepath.Glob(chart + "/templates/*.yaml")
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, values := range valueFiles(t) {
		text, err := helmRun(t, "template", "grants", chart, "--values", values)
		require.NoError(t, err, text)
		for _, template := range templates {
			if bytes.Contains([]byte(text), []byte("# Source: coupongrant/templates/"+filepath.Base(template)+"\n")) {
				seen[filepath.Base(template)] = true
			}
		}
	}
	require.Len(t, slices.Collect(maps.Keys(seen)), len(templates))
}

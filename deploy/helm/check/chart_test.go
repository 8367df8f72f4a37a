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
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
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
		"audit.schedule=daily":                 "schedule",
		"audit.resources.limits.memory=1Gi":    "memory",
		"audit.tmpSize=":                       "tmpSize",
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

// What does not fit into memory, audits and reports keep in /tmp: nowhere else may they write, and on a memory volume
// it would not be out of memory.
func TestPodsHaveATmpOnDisk(t *testing.T) {
	for _, values := range valueFiles(t) {
		documents := render(t, values)
		for most, pod := range map[int64]corev1.PodSpec{
			20_000_000:  one[appsv1.StatefulSet](t, documents, "StatefulSet").Spec.Template.Spec,
			100_000_000: audit(t, documents).Spec.JobTemplate.Spec.Template.Spec,
		} {
			at := slices.IndexFunc(pod.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == "/tmp" })
			require.NotEqual(t, -1, at, values)
			mount := pod.Containers[0].VolumeMounts[at]
			require.False(t, mount.ReadOnly)
			at = slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
			folder := pod.Volumes[at].EmptyDir
			require.NotNil(t, folder, values)
			require.Empty(t, folder.Medium)
			require.NotNil(t, folder.SizeLimit)
			require.GreaterOrEqual(t, folder.SizeLimit.Value(), 45*most, "docs/audit.md: 45 bytes for each request")
		}
	}
}

func audit(t *testing.T, documents []string) batchv1.CronJob {
	t.Helper()
	return one[batchv1.CronJob](t, documents, "CronJob")
}

// An audit takes as much memory as a replica has: it must not be killed in one, nor the replica because of it. Nor is
// it counted as one, but the network policy is for both.
func TestAuditIsAPodOfItsOwn(t *testing.T) {
	documents := render(t, chart+"/ci/all-values.yaml")
	job := audit(t, documents).Spec.JobTemplate.Spec
	pod := job.Template.Spec.Containers[0]
	require.Equal(t, []string{"audit", "--config", "/etc/coupongrant/coupongrant.yaml"}, pod.Args)
	require.Equal(t, "512Mi", pod.Resources.Limits.Memory().String(), "1.7 times what three million requests took")
	require.Equal(t, []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: "460MiB"}}, pod.Env)
	require.Zero(t, *job.BackoffLimit, "a verdict is not asked for twice")
	require.Equal(t, corev1.RestartPolicyNever, job.Template.Spec.RestartPolicy)

	set := one[appsv1.StatefulSet](t, documents, "StatefulSet")
	both := one[networkingv1.NetworkPolicy](t, documents, "NetworkPolicy").Spec.PodSelector
	for _, of := range []struct {
		selector metav1.LabelSelector
		pod      map[string]string
		selected bool
	}{
		{*set.Spec.Selector, set.Spec.Template.Labels, true},
		{*set.Spec.Selector, job.Template.Labels, false},
		{both, set.Spec.Template.Labels, true},
		{both, job.Template.Labels, true},
	} {
		selector, err := metav1.LabelSelectorAsSelector(&of.selector)
		require.NoError(t, err)
		require.Equal(t, of.selected, selector.Matches(labels.Set(of.pod)), "%v", of)
	}
}

// Nothing runs by itself that nobody asked for, and yet it is there for `kubectl create job --from`.
func TestAuditIsByHandUnlessThereIsASchedule(t *testing.T) {
	for values, schedule := range map[string]string{"least-values.yaml": "", "all-values.yaml": "30 4 * * *"} {
		cron := audit(t, render(t, chart+"/ci/"+values)).Spec
		require.Equal(t, schedule == "", *cron.Suspend)
		if schedule != "" {
			require.Equal(t, schedule, cron.Schedule)
		}
	}
}

// The audit's pod has no secret of the gateway, and with the settings that name them the command still goes as far as
// the brokers.
func TestAuditNeedsNoSecretOfTheGateway(t *testing.T) {
	documents := render(t, chart+"/ci/least-values.yaml")
	for _, volume := range audit(t, documents).Spec.JobTemplate.Spec.Template.Spec.Volumes {
		require.Nil(t, volume.Secret, volume.Name)
	}
	settings := one[corev1.ConfigMap](t, documents, "ConfigMap").Data[configPath]
	require.Contains(t, settings, "app_secret_file: /etc/coupongrant/credentials/app-secret")
	file := filepath.Join(t.TempDir(), configPath)
	require.NoError(t, os.WriteFile(file, []byte(settings), 0o600))
	said, err := exec.CommandContext(t.Context(), binary, "audit", "--config", file, "--kafka.brokers", "127.0.0.1:1").CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 1, exit.ExitCode(), string(said))
	require.Contains(t, string(said), "kafka.brokers is 127.0.0.1:1, but")
}

package check

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// refused is what Kubernetes' own admission of the restricted profile says against a pod.
func refused(t *testing.T, pod corev1.PodTemplateSpec) string {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	require.NoError(t, err)
	of := policy.AggregateCheckResults(evaluator.EvaluatePod(
		api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec))
	if of.Allowed {
		return ""
	}
	return of.ForbiddenReason() + ": " + of.ForbiddenDetail()
}

func TestPodsKeepTheRestrictedProfile(t *testing.T) {
	for _, values := range valueFiles(t) {
		documents := render(t, values)
		for _, pod := range []corev1.PodTemplateSpec{
			one[appsv1.StatefulSet](t, documents, "StatefulSet").Spec.Template,
			audit(t, documents).Spec.JobTemplate.Spec.Template,
		} {
			require.Empty(t, refused(t, pod), values)
			require.True(t, *pod.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem, "the profile does not ask for it, we do")
			require.False(t, *pod.Spec.AutomountServiceAccountToken)
		}
	}
}

// The check sees what it is there for.
func TestRestrictedCheckRefuses(t *testing.T) {
	yes, no, rootUser := true, false, int64(0)
	for name, spoil := range map[string]func(pod *corev1.PodSpec, context *corev1.SecurityContext){
		"privileged":               func(_ *corev1.PodSpec, c *corev1.SecurityContext) { c.Privileged = &yes },
		"allowPrivilegeEscalation": func(_ *corev1.PodSpec, c *corev1.SecurityContext) { c.AllowPrivilegeEscalation = nil },
		"capabilities":             func(_ *corev1.PodSpec, c *corev1.SecurityContext) { c.Capabilities = nil },
		"runAsNonRoot":             func(p *corev1.PodSpec, _ *corev1.SecurityContext) { p.SecurityContext.RunAsNonRoot = &no },
		"runAsUser":                func(p *corev1.PodSpec, _ *corev1.SecurityContext) { p.SecurityContext.RunAsUser = &rootUser },
		"seccompProfile":           func(p *corev1.PodSpec, _ *corev1.SecurityContext) { p.SecurityContext.SeccompProfile = nil },
		"host namespaces":          func(p *corev1.PodSpec, _ *corev1.SecurityContext) { p.HostNetwork = true },
		"hostPath": func(p *corev1.PodSpec, _ *corev1.SecurityContext) {
			p.Volumes = append(p.Volumes, corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			set := one[appsv1.StatefulSet](t, render(t, chart+"/ci/least-values.yaml"), "StatefulSet")
			pod := &set.Spec.Template.Spec
			require.Empty(t, refused(t, set.Spec.Template))
			spoil(pod, pod.Containers[0].SecurityContext)
			require.Contains(t, refused(t, set.Spec.Template), name)
		})
	}
}

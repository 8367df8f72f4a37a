{{- define "coupongrant.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "coupongrant.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "coupongrant.labels" -}}
{{ include "coupongrant.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "coupongrant.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "coupongrant.fullname" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "coupongrant.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{- /* What the chart knows better than whoever installs it; it wins over .Values.config. */ -}}
{{- define "coupongrant.config" -}}
{{- $own := dict
    "admin" (dict "listen" ":8080")
    "gateway" (dict
      "app_secret_file" (printf "/etc/coupongrant/credentials/%s" .Values.credentials.appSecretKey)
      "session_file" (printf "/etc/coupongrant/credentials/%s" .Values.credentials.sessionKey)) }}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $own) }}
{{- end }}

{{- /* The group's name is the prefix that rights to transactional ids are given by. */ -}}
{{- define "coupongrant.group" -}}
{{- dig "kafka" "group" "coupongrant" .Values.config }}
{{- end }}

{{- /* The audit is a pod of another name: no service, selector or budget of the replicas counts it. */ -}}
{{- define "coupongrant.auditSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-audit
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "coupongrant.podSecurity" -}}
{{- with .Values.podSecurityContext }}
{{- toYaml . }}
{{ end -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "coupongrant.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Nine tenths of a limit such as 384Mi. */ -}}
{{- define "coupongrant.goMemLimit" -}}
{{- printf "%dMiB" (div (mul (trimSuffix "Mi" . | int) 9) 10) }}
{{- end }}

{{- /* What every command of the program is given, but for the gateway's secrets. */ -}}
{{- define "coupongrant.volumeMounts" -}}
- name: config
  mountPath: /etc/coupongrant/coupongrant.yaml
  subPath: coupongrant.yaml
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- range .Values.mounts }}
- name: mount-{{ .name }}
  mountPath: /etc/coupongrant/mounts/{{ .name }}
  readOnly: true
{{- end }}
{{- end }}

{{- define "coupongrant.volumes" -}}
- name: config
  configMap:
    name: {{ include "coupongrant.fullname" . }}
{{- range .Values.mounts }}
- name: mount-{{ .name }}
  secret:
    secretName: {{ .secretName }}
    defaultMode: 0440
{{- end }}
{{- end }}

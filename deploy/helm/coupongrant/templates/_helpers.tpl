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

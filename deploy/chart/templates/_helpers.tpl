{{- define "tongban.labels" -}}
app.kubernetes.io/part-of: tongban
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "tongban.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "tongban.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "tongban.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end }}

{{- /* The volumes of a pod; call with the root and the names of its secrets. */ -}}
{{- define "tongban.volumes" -}}
- name: tmp
  emptyDir:
    medium: Memory
    sizeLimit: 64Mi
- name: city
  configMap:
    name: {{ .root.Values.city.configMap }}
{{- if .secrets }}
- name: secrets
  secret:
    secretName: {{ .root.Values.secrets.name }}
    items:
      {{- range .secrets }}
      - key: {{ . }}
        path: {{ . }}
      {{- end }}
{{- end }}
{{- end }}

{{- define "tongban.mounts" -}}
- name: tmp
  mountPath: /tmp
- name: city
  mountPath: /etc/tongban/city
  readOnly: true
{{- if .secrets }}
- name: secrets
  mountPath: /run/secrets
  readOnly: true
{{- end }}
{{- end }}

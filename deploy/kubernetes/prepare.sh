#!/usr/bin/env bash
# What `make kubernetes` needs, into the folder $1: Helm, the schemas, etcd and a real API server. Done once; what is
# there is kept. The API server is built from its own module, about five minutes of processor time.
set -euo pipefail
cache=$1
kubernetes=v1.31.4
libraries=v0.31.4
mkdir -p "$cache/bin" "$cache/go"
export GOBIN="$cache/bin" GOMODCACHE="$cache/go/mod" GOCACHE="$cache/go/build" GOFLAGS=-buildvcs=false
if ! command -v etcd >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  # The package would start a server of its own.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends etcd-server >/dev/null
fi
if [ ! -x "$cache/bin/helm" ]; then
  nice -n 19 go install helm.sh/helm/v3/cmd/helm@v3.16.4
fi
if [ ! -x "$cache/kubernetes-validate/bin/kubernetes-validate" ]; then
  python3 -m venv "$cache/kubernetes-validate"
  "$cache/kubernetes-validate/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate==1.37.0
fi
if [ ! -x "$cache/bin/kube-apiserver" ]; then
  mkdir -p "$cache/apiserver"
  cd "$cache/apiserver"
  {
    echo "module apiserver"
    echo "go 1.22.0"
    # Kubernetes names its own libraries by version 0.0.0 and replaces them; so must whoever builds it.
    for name in api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider \
      cluster-bootstrap code-generator component-base component-helpers controller-manager cri-api cri-client \
      csi-translation-lib dynamic-resource-allocation endpointslice kms kube-aggregator kube-controller-manager \
      kube-proxy kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission sample-apiserver \
      sample-cli-plugin sample-controller; do
      echo "replace k8s.io/$name => k8s.io/$name $libraries"
    done
  } >go.mod
  go get "k8s.io/kubernetes/cmd/kube-apiserver@$kubernetes"
  version=k8s.io/component-base/version
  nice -n 19 go build -o "$cache/bin/kube-apiserver" \
    -ldflags "-X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=31" \
    k8s.io/kubernetes/cmd/kube-apiserver
fi

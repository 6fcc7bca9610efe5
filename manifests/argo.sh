#!/usr/bin/env bash
# Writes what installs Argo Workflows into namespace argo, of one version: argo.sh FILE
# Then: kubectl apply --server-side --namespace argo --filename FILE
# ARGO_TREE is git's checksum of the folder `manifests` of that version, all files in it: a moved tag, a changed file or
# another server's copy is refused. Another version needs both variables; a clone tells: git rev-parse v4.0.5:manifests
# ARGO_REPO: another clone, where this machine does not reach the public one
set -euo pipefail
ARGO_VERSION=${ARGO_VERSION:-v4.0.5} ARGO_TREE=${ARGO_TREE:-f4035e66e3d2eb62f0793ca1d2ce347b10478720}
ARGO_REPO=${ARGO_REPO:-https://github.com/argoproj/argo-workflows}
[[ $# == 1 ]] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git -c advice.detachedHead=false clone --quiet --depth 1 --branch "$ARGO_VERSION" --filter blob:none --sparse "$ARGO_REPO" "$copy"
tree=$(git -C "$copy" rev-parse HEAD:manifests)
[[ $tree == "$ARGO_TREE" ]] || {
  echo "Argo $ARGO_VERSION of $ARGO_REPO: its manifests have the checksum $tree, not ARGO_TREE=$ARGO_TREE" >&2
  exit 1
}
git -C "$copy" sparse-checkout set manifests
kubectl kustomize "$copy/manifests/cluster-install" | sed "s#\( image: .*/argoproj/.*\):latest#\1:$ARGO_VERSION#" >"$1"

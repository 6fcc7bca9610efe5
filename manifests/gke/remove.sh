#!/usr/bin/env bash
# Removes what create.sh made and labelled. Runs and reports stay, unless --with-data is given: then the buckets go with all that is in them.
set -euo pipefail
EXTRA_USAGE='[--with-data] '
# shellcheck source=manifests/gke/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "$@"

cluster() {
  if ours resourceLabels.made-by "${LABEL#*=}" gcloud container clusters describe "$NAME" --region "$REGION" --project "$PROJECT"; then
    g container clusters delete "$NAME" --region "$REGION"
  fi
}

registry() {
  if ours labels.made-by "${LABEL#*=}" gcloud artifacts repositories describe "$NAME" --location "$REGION" --project "$PROJECT"; then
    g artifacts repositories delete "$NAME" --location "$REGION"
  fi
}

data() {
  local bucket
  for bucket in "$DATA" "$ARTIFACTS"; do
    if ours labels.made-by "${LABEL#*=}" gcloud storage buckets describe "$bucket"; then
      g storage rm --recursive "$bucket"
    fi
  done
}

identities() {
  local need
  g projects remove-iam-policy-binding "$PROJECT" --condition None --role roles/container.defaultNodeServiceAccount \
    --member "serviceAccount:$(account nodes)" --format none || true
  for need in nodes worker server; do
    if ours displayName "clio-argo $need" gcloud iam service-accounts describe "$(account $need)" --project "$PROJECT"; then
      g iam service-accounts delete "$(account $need)"
    fi
  done
}

cluster
registry
if [[ -n $WITH_DATA ]]; then data; else echo "kept: $DATA and $ARTIFACTS"; fi
identities

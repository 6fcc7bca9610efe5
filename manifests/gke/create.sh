#!/usr/bin/env bash
# Makes what clio-argo needs on Google Cloud; what is there already is left as it is.
#   regional cluster with a small on-demand pool (Argo's controller and server, single steps) and a spot pool that
#   grows from 0 (the parts of the big stages); two buckets; a registry; an identity per need; Argo Workflows
set -euo pipefail
# shellcheck source=manifests/gke/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "$@"

services() {
  g services enable container.googleapis.com artifactregistry.googleapis.com storage.googleapis.com iam.googleapis.com
}

# identities: nodes pull images and write logs; workers write the run; Argo's server reads reports and logs
identities() {
  local need
  for need in nodes worker server; do
    exists gcloud iam service-accounts describe "$(account $need)" --project "$PROJECT" ||
      g iam service-accounts create "$NAME-$need" --display-name "clio-argo $need"
  done
  g projects add-iam-policy-binding "$PROJECT" --condition None --role roles/container.defaultNodeServiceAccount \
    --member "serviceAccount:$(account nodes)" --format none
}

bucket() { # URL
  exists gcloud storage buckets describe "$1" || {
    g storage buckets create "$1" --location "$REGION" --uniform-bucket-level-access --public-access-prevention
    g storage buckets update "$1" --update-labels "$LABEL"
  }
}

buckets() {
  bucket "$DATA"
  bucket "$ARTIFACTS"
  grant "$DATA" worker roles/storage.objectUser
  grant "$ARTIFACTS" worker roles/storage.objectUser
  grant "$ARTIFACTS" server roles/storage.objectViewer
}

grant() { # BUCKET ACCOUNT ROLE
  g storage buckets add-iam-policy-binding "$1" --member "serviceAccount:$(account "$2")" --role "$3"
}

registry() {
  exists gcloud artifacts repositories describe "$NAME" --location "$REGION" --project "$PROJECT" ||
    g artifacts repositories create "$NAME" --repository-format docker --location "$REGION" --labels "$LABEL"
  g artifacts repositories add-iam-policy-binding "$NAME" --location "$REGION" \
    --member "serviceAccount:$(account nodes)" --role roles/artifactregistry.reader
}

# Dataplane V2 enforces the chart's NetworkPolicy
cluster() {
  exists gcloud container clusters describe "$NAME" --region "$REGION" --project "$PROJECT" ||
    g container clusters create "$NAME" --region "$REGION" --release-channel regular --labels "$LABEL" \
      --workload-pool "$PROJECT.svc.id.goog" --enable-dataplane-v2 --autoscaling-profile optimize-utilization \
      --machine-type e2-standard-2 --num-nodes 1 --enable-autoscaling --total-min-nodes 1 --total-max-nodes 3 \
      --disk-type pd-balanced --disk-size 50 --service-account "$(account nodes)"
}

# GKE labels spot nodes; the taint keeps everything else away from them
spot_pool() {
  exists gcloud container node-pools describe spot --cluster "$NAME" --region "$REGION" --project "$PROJECT" ||
    g container node-pools create spot --cluster "$NAME" --region "$REGION" --spot \
      --machine-type "$SPOT_MACHINE" --num-nodes 0 --enable-autoscaling --total-min-nodes 0 \
      --total-max-nodes "$SPOT_MAX" --location-policy ANY --node-taints cloud.google.com/gke-spot=true:NoSchedule \
      --workload-metadata GKE_METADATA --disk-type pd-balanced --disk-size 50 --service-account "$(account nodes)"
}

# a service account of the cluster acts as one of Google Cloud
identity() { # ACCOUNT NAMESPACE/NAME
  g iam service-accounts add-iam-policy-binding "$(account "$1")" --role roles/iam.workloadIdentityUser \
    --member "serviceAccount:$PROJECT.svc.id.goog[$2]"
}

argo() {
  g container clusters get-credentials "$NAME" --region "$REGION"
  for namespace in argo "$NAMESPACE"; do
    exists kubectl get namespace "$namespace" || run kubectl create namespace "$namespace"
  done
  run kubectl apply --server-side --namespace argo --filename \
    "https://github.com/argoproj/argo-workflows/releases/download/$ARGO_VERSION/install.yaml"
  run kubectl patch configmap workflow-controller-configmap --namespace argo --type merge --patch "$(repository)"
  identity worker "$NAMESPACE/clio-argo-worker"
  identity server argo/argo-server
  run kubectl annotate serviceaccount argo-server --namespace argo --overwrite \
    "iam.gke.io/gcp-service-account=$(account server)"
  run kubectl rollout restart deployment argo-server workflow-controller --namespace argo
}

repository() {
  printf '{"data":{"artifactRepository":"gcs: {bucket: %s}\\n"}}' "${ARTIFACTS#gs://}"
}

services
identities
buckets
registry
cluster
spot_pool
argo
cat <<TEXT

Next: push the images to $REGION-docker.pkg.dev/$PROJECT/$NAME and install the chart (docs/kubernetes.md) with
  --namespace $NAMESPACE
  --set-string 'accounts.worker.annotations.iam\.gke\.io/gcp-service-account=$(account worker)'
Runs go to $DATA/...
TEXT

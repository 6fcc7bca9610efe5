#!/usr/bin/env bash
# Makes what clio-argo needs on Google Cloud; what is there already is left as it is, so that an interrupted call is run again.
#   regional cluster of private nodes, which reach the internet through NAT: a small on-demand pool (Argo, single steps)
#   and a spot pool that grows from 0 (the parts of the big stages); three buckets; a registry and a mirror of Argo's
#   images; grants for the cluster's service accounts; Argo Workflows
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DRY_ANSWER=1
not_ours() { stop "$1: give another NAME"; }
# shellcheck source=manifests/gke/common.sh
source "$HERE/common.sh"
parse "$@"

services() {
  g services enable compute.googleapis.com container.googleapis.com containerfilesystem.googleapis.com \
    artifactregistry.googleapis.com storage.googleapis.com iam.googleapis.com iamcredentials.googleapis.com \
    cloudresourcemanager.googleapis.com
}

# a new project has few CPUs: the cluster then grows to fewer nodes than SPOT_MAX, and pods wait without an end
quotas() {
  local cores=$((SPOT_MAX * ${SPOT_MACHINE##*-} + 3 * ${MACHINE##*-})) metric limit used
  [[ -z $DRY ]] || return 0
  look quotas.metric,quotas.limit,quotas.usage gcloud compute regions describe "$REGION" --flatten quotas ||
    stop "Google Cloud has no region $REGION"
  while read -r metric limit used; do
    case $metric in CPUS | N2D_CPUS | PREEMPTIBLE_CPUS) ;; *) continue ;; esac
    limit=${limit%.*} used=${used%.*} used=${used:-0}
    [[ $limit == 0 || $((limit - used)) -ge $cores ]] ||
      echo "quota $metric of $REGION: $used of $limit in use; all nodes together have $cores: ask for more, or set SPOT_MAX"
  done <<<"$FOUND"
}

# an account that was just made, or the pool of a project's first cluster, is unknown to other services for minutes
patiently() {
  local pause
  for pause in ${PAUSES-5 10 20 30 60 60 0}; do
    "$@" 2>"$TEMP/said" && return
    cat "$TEMP/said" >&2
    grep -q 'does not exist' "$TEMP/said" && [[ $pause != 0 ]] || return 1
    echo "  again in $pause s" >&2
    sleep "$pause"
  done
}

# nodes pull images and write logs
node_account() {
  our_account || g iam service-accounts create "$NAME-nodes" --display-name "clio-argo nodes"
  patiently g projects add-iam-policy-binding "$PROJECT" --condition None --format none \
    --role roles/container.defaultNodeServiceAccount --member "serviceAccount:$(account)"
}

buckets() {
  bucket "$DATA"
  # reports and logs stay longer than the workflows that they belong to; deleted objects are not billed for a week more
  bucket "$ARTIFACTS" --soft-delete-duration 0 --lifecycle-file "$(expiry 60)"
  # as long as a failed workflow can be retried
  bucket "$TEMPORARY" --soft-delete-duration 0 --lifecycle-file "$(expiry 30)"
}

bucket() { # URL OPTION...
  our_bucket "$1" || (
    # buckets get labels only once they are there. Ctrl-C waits for both commands, which gcloud alone would not: they run
    # in a process group that the terminal does not signal
    trap '' INT TERM HUP
    set -m
    labelled_bucket "$@" &
    wait $!
  )
}

labelled_bucket() { # URL OPTION...
  g storage buckets create "$@" --location "$REGION" --uniform-bucket-level-access --public-access-prevention
  g storage buckets update "$1" --update-labels "$LABEL"
}

expiry() { # DAYS
  echo "{\"rule\": [{\"action\": {\"type\": \"Delete\"}, \"condition\": {\"age\": $1}}]}" >"$TEMP/expiry-$1.json"
  echo "$TEMP/expiry-$1.json"
}

registry() { # NAME OPTION...
  our_registry "$1" ||
    g artifacts repositories create "$@" --repository-format docker --location "$REGION" --labels "$LABEL"
  patiently g artifacts repositories add-iam-policy-binding "$1" --location "$REGION" --format none \
    --member "serviceAccount:$(account)" --role roles/artifactregistry.reader
}

# nodes have no addresses on the internet, of which a new project may have 8; Google's services they reach without NAT
network() {
  [[ $NAT == make ]] || return 0
  our_router || g compute routers create "$NAME" --region "$REGION" --network "$NETWORK" --description "$LABEL"
  look name gcloud compute routers nats describe "$NAME" --router "$NAME" --region "$REGION" ||
    g compute routers nats create "$NAME" --router "$NAME" --region "$REGION" --auto-allocate-nat-external-ips \
      --nat-all-subnet-ip-ranges
}

# Dataplane V2 enforces the chart's NetworkPolicy
cluster() {
  our_cluster ||
    g container clusters create "$NAME" --region "$REGION" --release-channel regular --labels "$LABEL" \
      --network "$NETWORK" --subnetwork "$SUBNET" --enable-ip-alias --enable-private-nodes --enable-image-streaming \
      --workload-pool "$PROJECT.svc.id.goog" --enable-dataplane-v2 --autoscaling-profile optimize-utilization \
      --machine-type "$MACHINE" --num-nodes 1 --enable-autoscaling --total-min-nodes 1 --total-max-nodes 3 \
      --disk-type pd-balanced --disk-size 50 --service-account "$(account)"
  usable
}

# nothing is built upon a cluster that an earlier call left broken
usable() {
  settle
  [[ -z $FOUND || $FOUND == RUNNING ]] ||
    stop "cluster $NAME is $FOUND, not RUNNING: run this again, or look at it and remove it with remove.sh"
}

# GKE labels spot nodes; the taint keeps everything else away from them
spot_pool() {
  local size=(--enable-autoscaling --total-min-nodes 0 --total-max-nodes "$SPOT_MAX")
  if ! look autoscaling.totalMaxNodeCount gcloud container node-pools describe spot --cluster "$NAME" --region "$REGION"; then
    g container node-pools create spot --cluster "$NAME" --region "$REGION" --spot --num-nodes 0 "${size[@]}" \
      --machine-type "$SPOT_MACHINE" --location-policy ANY --node-taints cloud.google.com/gke-spot=true:NoSchedule \
      --enable-image-streaming --workload-metadata GKE_METADATA --disk-type pd-standard --disk-size 50 \
      --service-account "$(account)"
  elif [[ $FOUND != "$SPOT_MAX" ]]; then
    g container node-pools update spot --cluster "$NAME" --region "$REGION" "${size[@]}"
  fi
}

grant() { # BUCKET MEMBER ROLE
  patiently g storage buckets add-iam-policy-binding "$1" --member "$2" --role "$3"
}

argo() {
  # of this script alone: the kubectl of the person who runs it keeps its cluster
  export KUBECONFIG=$TEMP/kubeconfig
  g container clusters get-credentials "$NAME" --region "$REGION"
  local name
  for name in argo "$NAMESPACE"; do
    there kubectl get namespace "$name" || run kubectl create namespace "$name"
  done
  run "$HERE/../argo.sh" "$TEMP/argo.yaml"
  mirror
  run kubectl apply --server-side --force-conflicts --namespace argo --filename "$TEMP/argo.yaml"
  run kubectl patch configmap workflow-controller-configmap --namespace argo --type merge --patch "$(configuration)"
  run kubectl rollout restart deployment argo-server workflow-controller --namespace argo
  for name in argo-server workflow-controller; do
    run kubectl rollout status deployment "$name" --namespace argo --timeout 10m
  done
}

# every node pulls Argo's executor: from a cache of our own, near and without NAT, instead of a public registry
mirror() {
  local upstream=REGISTRY_OF_ARGO
  [[ -n $DRY ]] || upstream=$(sed -nE 's#.* image: ([^/]*)/argoproj/workflow-controller:.*#\1#p' "$TEMP/argo.yaml")
  registry "$NAME-mirror" --mode remote-repository --remote-docker-repo "https://$upstream"
  [[ -n $DRY ]] || sed -i.bak "s# image: $upstream/argoproj/# image: $MIRROR/argoproj/#" "$TEMP/argo.yaml"
}

# failedPodRestart: pods that a node refuses while it shuts down are made again
configuration() {
  local executor=$MIRROR/argoproj/argoexec:VERSION
  [[ -n $DRY ]] || executor=$(sed -nE 's#.* image: (.*)/workflow-controller:(.*)#\1/argoexec:\2#p' "$TEMP/argo.yaml")
  printf '{"data":{"artifactRepository":"gcs: {bucket: %s}","executor":"image: %s","failedPodRestart":"{enabled: true, maxRestarts: 10}"}}' \
    "${ARTIFACTS#gs://}" "$executor"
}

services
same_region
usable
quotas
node_account
buckets
registry "$NAME"
network
cluster
spot_pool
grants grant
argo
cat <<TEXT

Next (docs/kubernetes.md):
  gcloud container clusters get-credentials $NAME --region $REGION --project $PROJECT
  push the images to $REGION-docker.pkg.dev/$PROJECT/$NAME, and install the chart into namespace $NAMESPACE
  let the pods read your slices; it takes some minutes until Google knows:
    gcloud storage buckets add-iam-policy-binding gs://SLICES --role roles/storage.objectViewer --member $WORKER
Runs go to $DATA/..., and with buckets.temporary: $TEMPORARY/... in a request, what is needed for a while only.
TEXT
